#include "worker/exchange/admission.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

/// An established holder this late may be evicted; one that we have waited for this long in total
/// counts as a long transfer.
constexpr auto kPatience = std::chrono::seconds(2);
/// For a handshake of an address that has as little as those that wait. It is generous: a busy
/// client program or proxy answers slowly, and so do bad lines.
constexpr Clock::duration kPatienceWithEquals = std::chrono::seconds(3);
/// For one of an address that has many, or is costly.
constexpr Clock::duration kPatienceWithRich = milliseconds(200);
/// For any, while an address without one waits: a multiple of what quick ones take, within bounds.
constexpr int kUsualHandshakes = 4;
constexpr Clock::duration kMostForNewcomers = std::chrono::seconds(1);
constexpr Clock::duration kLeastForNewcomers = milliseconds(200);
constexpr int kAverageOver = 8;
/// How often all the established are scanned: there are thousands.
constexpr auto kLookInterval = milliseconds(100);
/// Long transfers that are evicted at one scan.
constexpr std::size_t kLongAtOnce = 64;

std::size_t quarterOf(std::size_t places) { return std::max<std::size_t>(places / 4, 1); }

/// The share of one address, while others wait.
std::size_t shareOf(std::size_t free) { return std::max<std::size_t>(free / 3, 1); }

std::size_t lessOf(std::size_t from, std::size_t taken) { return from - std::min(from, taken); }

}  // namespace

void Admission::Slot::established(Clock::duration took, Clock::time_point now) {
  if (entry_) entry_->admission.establish(*entry_, took, now);
}

void Admission::Slot::setApart() {
  if (entry_ && entry_->stage == Stage::kEstablished) entry_->admission.setApart(*entry_);
}

Clock::time_point Admission::Slot::lastServed() const {
  return entry_ ? entry_->client->lastServed : Clock::time_point();
}

void Admission::Slot::GiveBack::operator()(Entry* entry) const noexcept {
  entry->admission.giveBack(*entry);
  delete entry;
}

Admission::Slot Admission::enqueue(Holder& holder, const IpAddress& address, bool isCostly) {
  const IpAddress key = address.limitKey();
  auto entry = std::make_unique<Entry>(Entry{*this, holder, nullptr});
  Client& client = clients_.try_emplace(key).first->second;
  // Nothing throws from here on.
  entry->client = &client;
  client.address = key;
  client.waiting.append(*entry);
  ++waiting_;
  if (client.line == nullptr || client.isCostly != isCostly) {
    client.isCostly = isCostly;
    lineUp(client, isCostly ? costly_ : client.holds == 0 ? fresh_ : ring_);
  }
  return Slot(entry.release());
}

void Admission::demote(const IpAddress& address) {
  const auto found = clients_.find(address.limitKey());
  if (found == clients_.end() || found->second.isCostly) return;
  found->second.isCostly = true;
  if (found->second.line != nullptr) lineUp(found->second, costly_);
}

/// Puts the client at the end of `line`.
void Admission::lineUp(Client& client, IntrusiveList<Client>& line) {
  if (client.line != nullptr) client.line->remove(client);
  client.line = &line;
  line.append(client);
}

Admission::Holder* Admission::admitNext(std::size_t elsewhere) {
  const std::size_t most = places(elsewhere);
  if (handshakes_.size() >= limits_.handshakes || holders() >= most) return nullptr;
  Client* client = chooseClient(most);
  if (client == nullptr) return nullptr;
  Entry& entry = *client->waiting.front();
  stopWaiting(entry);
  // The next connection of this address waits for the next round.
  if (client->line != nullptr) lineUp(*client, client->isCostly ? costly_ : ring_);
  handshakes_.append(entry);
  entry.stage = Stage::kHandshake;
  ++client->handshakes;
  ++client->holds;
  return &entry.holder;
}

void Admission::establish(Entry& entry, Clock::duration took, Clock::time_point now) {
  if (took > Clock::duration::zero() && took <= kMostForNewcomers) {
    quickHandshake_ += (took - quickHandshake_) / kAverageOver;
  }
  entry.client->lastServed = now;
  handshakes_.remove(entry);
  --entry.client->handshakes;
  established_.append(entry);
  entry.stage = Stage::kEstablished;
}

/// The address is forgotten only when nothing is left that points to it.
void Admission::setApart(Entry& entry) {
  established_.remove(entry);
  entry.stage = Stage::kApart;
  --entry.client->holds;
  ++entry.client->apart;
  freed_();
}

void Admission::giveBack(Entry& entry) noexcept {
  Client* client = entry.client;
  switch (entry.stage) {
    case Stage::kWaiting:
      stopWaiting(entry);
      break;
    case Stage::kHandshake:
      handshakes_.remove(entry);
      --client->handshakes;
      --client->holds;
      break;
    case Stage::kEstablished:
      established_.remove(entry);
      --client->holds;
      break;
    case Stage::kApart:
      --client->apart;
      break;
  }
  if (client->waiting.empty() && client->holds == 0 && client->apart == 0) {
    clients_.erase(client->address);
  }
  if (entry.stage == Stage::kHandshake || entry.stage == Stage::kEstablished) freed_();
}

std::vector<Admission::Holder*> Admission::yielding(Clock::time_point now, std::size_t elsewhere) {
  std::vector<Entry*> chosen;
  if (waiting_ == 0) return {};
  const std::size_t most = places(elsewhere);
  const Blocked blocked = this->blocked(most);
  chooseHandshakes(now, blocked, chosen);
  if (blocked.forPlaces > chosen.size() && now - lastLook_ >= kLookInterval) {
    lastLook_ = now;
    chooseLate(now, blocked.forPlaces - chosen.size(), chosen);
    chooseLong(now, most, blocked.forPlaces - chosen.size(), chosen);
  }
  std::vector<Holder*> holders;
  for (Entry* entry : chosen) {
    entry->client->leaving = 0;
    holders.push_back(&entry->holder);
  }
  return holders;
}

std::size_t Admission::places(std::size_t elsewhere) const {
  return std::max(limits_.own, lessOf(limits_.all, elsewhere));
}

/// How many more it may have now; others may take some of them before its turn.
std::size_t Admission::mayTake(const Client& client, std::size_t places) const {
  const std::size_t free = lessOf(limits_.handshakes, handshakes_.size());
  const std::size_t freePlaces = lessOf(places, holders());
  const std::size_t most = std::min(free, freePlaces);
  // The only one that waits may have all but a reserve for newcomers.
  const bool isAlone = client.waiting.size() == waiting_;
  const std::size_t handshakes =
      isAlone ? lessOf(free, limits_.handshakes / 8) : lessOf(shareOf(free), client.handshakes);
  const std::size_t held =
      isAlone ? lessOf(freePlaces, places / 16) : lessOf(shareOf(freePlaces), client.holds);
  const std::size_t first = client.holds == 0 ? 1 : 0;
  return std::min(most, std::max(first, std::min(handshakes, held)));
}

Admission::Client* Admission::chooseClient(std::size_t places) {
  ringsTurn_ = !ringsTurn_;
  for (const auto* line :
       {ringsTurn_ ? &ring_ : &fresh_, ringsTurn_ ? &fresh_ : &ring_, &costly_}) {
    for (Client* client = line->front(); client != nullptr; client = client->next) {
      if (mayTake(*client, places) > 0) return client;
    }
  }
  return nullptr;
}

void Admission::stopWaiting(Entry& entry) {
  Client& client = *entry.client;
  client.waiting.remove(entry);
  --waiting_;
  if (!client.waiting.empty()) return;
  client.line->remove(client);
  client.line = nullptr;
}

Admission::Blocked Admission::blocked(std::size_t places) const {
  Blocked blocked;
  const std::size_t freePlaces = lessOf(places, holders());
  for (const auto* line : {&fresh_, &ring_, &costly_}) {
    for (const Client* client = line->front(); client != nullptr; client = client->next) {
      const std::size_t lacking = lessOf(client->waiting.size(), mayTake(*client, places));
      blocked.all += lacking;
      if (client->holds >= shareOf(freePlaces) || freePlaces == 0) blocked.forPlaces += lacking;
      if (line == &costly_ || client->handshakes >= quarterOf(limits_.handshakes)) continue;
      blocked.poor += lacking;
      if (lacking > 0 && client->handshakes == 0) ++blocked.addresses;
    }
  }
  return blocked;
}

void Admission::chooseHandshakes(Clock::time_point now, const Blocked& blocked,
                                 std::vector<Entry*>& chosen) {
  const Clock::duration forNewcomers =
      std::clamp(kUsualHandshakes * quickHandshake_, kLeastForNewcomers, kMostForNewcomers);
  const bool noneIsFree = handshakes_.size() >= limits_.handshakes;
  for (Entry* entry = handshakes_.front(); entry != nullptr; entry = entry->next) {
    if (chosen.size() >= blocked.all) return;
    const Client& client = *entry->client;
    const std::size_t has = client.handshakes - client.leaving;
    const bool newcomersWait = chosen.size() < blocked.addresses;
    const bool isRich = (client.isCostly && noneIsFree) || has > quarterOf(limits_.handshakes);
    Clock::duration patience = newcomersWait ? forNewcomers : kPatienceWithEquals;
    if ((isRich && chosen.size() < blocked.poor) || (newcomersWait && has > 1)) {
      patience = kPatienceWithRich;
    }
    if (entry->holder.standing(now).behind >= patience) choose(*entry, chosen);
  }
}

/// Those furthest behind first.
void Admission::chooseLate(Clock::time_point now, std::size_t wanted, std::vector<Entry*>& chosen) {
  std::vector<std::pair<Clock::duration, Entry*>> late;
  for (Entry* entry = established_.front(); entry != nullptr; entry = entry->next) {
    const Standing standing = entry->holder.standing(now);
    if (standing.awaited && standing.behind >= kPatience) late.emplace_back(standing.behind, entry);
  }
  std::sort(late.begin(), late.end(), std::greater<>());
  late.resize(std::min(late.size(), wanted));
  for (const auto& [behind, entry] : late) choose(*entry, chosen);
}

void Admission::chooseLong(Clock::time_point now, std::size_t places, std::size_t wanted,
                           std::vector<Entry*>& chosen) {
  std::vector<Entry*> holdLong;
  for (Entry* entry = established_.front(); entry != nullptr; entry = entry->next) {
    const Standing standing = entry->holder.standing(now);
    const bool isLate = standing.behind >= kPatience;  // left to chooseLate()
    if (standing.awaited && standing.waited >= kPatience && !isLate) holdLong.push_back(entry);
  }
  const std::size_t tooMany = lessOf(holdLong.size(), places - places / 4);
  wanted = std::min({wanted, tooMany, kLongAtOnce});
  const auto poorer = [](const Entry* a, const Entry* b) {
    return a->client->holds - a->client->leaving < b->client->holds - b->client->leaving;
  };
  for (; wanted > 0; --wanted) {
    const auto richest = std::max_element(holdLong.begin(), holdLong.end(), poorer);
    choose(**richest, chosen);
    holdLong.erase(richest);
  }
}

void Admission::choose(Entry& entry, std::vector<Entry*>& chosen) {
  ++entry.client->leaving;
  chosen.push_back(&entry);
}

}  // namespace egalaxyd
