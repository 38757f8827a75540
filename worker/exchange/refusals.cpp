#include "worker/exchange/refusals.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/system/log.h"

namespace egalaxyd {

bool Refusals::mayAnswer(const IpAddress& client) {
  Entry* entry = find(client);
  if (entry == nullptr || entry->answers < kMostAnswers) {
    if (entry != nullptr) ++entry->answers;
    return true;
  }
  ++entry->more;
  return false;
}

bool Refusals::mayTryToken(const IpAddress& client) {
  const Entry* entry = find(client);
  return entry != nullptr && !entry->wrongToken;
}

void Refusals::tokenWasWrong(const IpAddress& client) {
  if (Entry* entry = find(client)) entry->wrongToken = true;
}

bool Refusals::mayLog(const IpAddress& client) {
  Entry* entry = find(client);
  if (entry != nullptr && !std::exchange(entry->logged, true)) return true;
  ++(entry == nullptr ? others_ : entry->more);
  return false;
}

void Refusals::tell() {
  for (std::size_t i = 0; i < used_; ++i) {
    const Entry& entry = entries_[i];
    if (entry.more > 0) logMoreRefusals(entry.more, entry.client.text(mask_));
  }
  if (others_ > 0) logMoreRefusals(others_, "other addresses");
  used_ = 0;
  others_ = 0;
}

/// nullptr if there is no room.
Refusals::Entry* Refusals::find(const IpAddress& client) {
  const IpAddress key = client.limitKey();
  const auto end = entries_.begin() + used_;
  const auto known =
      std::find_if(entries_.begin(), end, [&](const Entry& entry) { return entry.client == key; });
  if (known != end) return &*known;
  if (used_ == entries_.size()) return nullptr;
  entries_[used_] = {.client = key};
  return &entries_[used_++];
}

}  // namespace egalaxyd
