#include "common/shared/fault_ring.h"

#include <algorithm>

#include "common/base/path.h"

namespace egalaxyd {

void FaultRing::add(std::int64_t time, bool isError, std::string_view text) {
  constexpr auto relaxed = std::memory_order_relaxed;
  Entry& entry = entries_[added_.fetch_add(1, relaxed) % kKept];
  const std::size_t size = std::min(text.size(), kMostText);
  for (std::size_t i = 0; i < size; ++i) entry.text[i].store(text[i], relaxed);
  entry.size.store(static_cast<std::uint16_t>(size), relaxed);
  entry.isError.store(isError ? 1 : 0, relaxed);
  entry.time.store(time, relaxed);
}

std::vector<Fault> FaultRing::recent() const {
  constexpr auto relaxed = std::memory_order_relaxed;
  std::vector<Fault> faults;
  for (const Entry& entry : entries_) {
    Fault fault{entry.time.load(relaxed), entry.isError.load(relaxed) != 0, {}};
    if (fault.time <= 0) continue;
    const std::size_t size = std::min<std::size_t>(entry.size.load(relaxed), kMostText);
    for (std::size_t i = 0; i < size; ++i) fault.text += entry.text[i].load(relaxed);
    fault.text = printable(fault.text);
    faults.push_back(std::move(fault));
  }
  return faults;
}

}  // namespace egalaxyd
