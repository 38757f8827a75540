#include "worker/connection/admission.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

/// An established holder that is this late yields; one that kept us waiting so long holds for long.
constexpr auto kPatience = std::chrono::seconds(2);
/// With a handshake of an address that has as little as those who wait: a client program, or a
/// proxy, that has thousands to look after is slow to answer, as are bad lines.
constexpr Clock::duration kPatienceWithEquals = std::chrono::seconds(3);
/// With one of an address that has or costs much.
constexpr Clock::duration kPatienceWithRich = milliseconds(200);
/// While addresses wait that have none: several times what quick handshakes take, within these.
constexpr int kUsualHandshakes = 4;
constexpr Clock::duration kMostForNewcomers = std::chrono::seconds(1);
constexpr Clock::duration kLeastForNewcomers = milliseconds(200);
constexpr int kAverageOver = 8;
/// How often all the established are looked at: there are thousands.
constexpr auto kLookInterval = milliseconds(100);
/// Long transfers that are ended at one look.
constexpr std::size_t kLongAtOnce = 64;

std::size_t quarterOf(std::size_t places) { return std::max<std::size_t>(places / 4, 1); }

/// Of one address, while others wait.
std::size_t shareOf(std::size_t free) { return std::max<std::size_t>(free / 3, 1); }

std::size_t lessOf(std::size_t from, std::size_t taken) { return from - std::min(from, taken); }

}  // namespace

void Admission::enqueue(Member& member, const IpAddress& address, bool isCostly) {
  const IpAddress key = address.limitKey();
  Client& client = clients_.try_emplace(key).first->second;
  client.address = key;
  client.waiting.append(member);
  member.client_ = &client;
  member.stage_ = Member::Stage::kWaiting;
  ++waiting_;
  if (client.line != nullptr && client.isCostly == isCostly) return;
  client.isCostly = isCostly;
  lineUp(client, isCostly ? costly_ : client.holds == 0 ? fresh_ : ring_);
}

void Admission::demote(const IpAddress& address) {
  const auto found = clients_.find(address.limitKey());
  if (found == clients_.end() || found->second.isCostly) return;
  found->second.isCostly = true;
  if (found->second.line != nullptr) lineUp(found->second, costly_);
}

/// At the end of `line`.
void Admission::lineUp(Client& client, IntrusiveList<Client>& line) {
  if (client.line != nullptr) client.line->remove(client);
  client.line = &line;
  line.append(client);
}

Admission::Member* Admission::admitNext(std::size_t elsewhere) {
  const std::size_t most = places(elsewhere);
  if (handshakes_.size() >= limits_.handshakes || holders() >= most) return nullptr;
  Client* client = chooseClient(most);
  if (client == nullptr) return nullptr;
  Member& member = *client->waiting.front();
  stopWaiting(member);
  // Its next one waits for the next round.
  if (client->line != nullptr) lineUp(*client, client->isCostly ? costly_ : ring_);
  handshakes_.append(member);
  member.stage_ = Member::Stage::kHandshake;
  ++client->handshakes;
  ++client->holds;
  return &member;
}

void Admission::establish(Member& member, Clock::duration took, Clock::time_point now) {
  if (took > Clock::duration::zero() && took <= kMostForNewcomers) {
    quickHandshake_ += (took - quickHandshake_) / kAverageOver;
  }
  member.client_->lastServed = now;
  handshakes_.remove(member);
  --member.client_->handshakes;
  established_.append(member);
  member.stage_ = Member::Stage::kEstablished;
}

void Admission::release(Member& member) {
  Client* client = member.client_;
  switch (member.stage_) {
    case Member::Stage::kOutside:
      return;
    case Member::Stage::kWaiting:
      stopWaiting(member);
      break;
    case Member::Stage::kHandshake:
      handshakes_.remove(member);
      --client->handshakes;
      --client->holds;
      break;
    case Member::Stage::kEstablished:
      established_.remove(member);
      --client->holds;
      break;
  }
  member.stage_ = Member::Stage::kOutside;
  member.client_ = nullptr;
  if (client->waiting.empty() && client->holds == 0) clients_.erase(client->address);
}

std::vector<Admission::Member*> Admission::yielding(Clock::time_point now, std::size_t elsewhere) {
  std::vector<Member*> chosen;
  if (waiting_ == 0) return chosen;
  const std::size_t most = places(elsewhere);
  const Blocked blocked = this->blocked(most);
  chooseHandshakes(now, blocked, chosen);
  if (blocked.forPlaces > chosen.size() && now - lastLook_ >= kLookInterval) {
    lastLook_ = now;
    chooseLate(now, blocked.forPlaces - chosen.size(), chosen);
    chooseLong(now, most, blocked.forPlaces - chosen.size(), chosen);
  }
  for (Member* member : chosen) member->client_->leaving = 0;
  return chosen;
}

std::size_t Admission::places(std::size_t elsewhere) const {
  return std::max(limits_.own, lessOf(limits_.all, elsewhere));
}

/// How many more it may have now; some may be somebody else's before it has its turn.
std::size_t Admission::mayTake(const Client& client, std::size_t places) const {
  const std::size_t free = lessOf(limits_.handshakes, handshakes_.size());
  const std::size_t freePlaces = lessOf(places, holders());
  const std::size_t most = std::min(free, freePlaces);
  // Alone it may have all but what is kept for newcomers.
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

void Admission::stopWaiting(Member& member) {
  Client& client = *member.client_;
  client.waiting.remove(member);
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
                                 std::vector<Member*>& chosen) {
  const Clock::duration forNewcomers =
      std::clamp(kUsualHandshakes * quickHandshake_, kLeastForNewcomers, kMostForNewcomers);
  const bool noneIsFree = handshakes_.size() >= limits_.handshakes;
  for (Member* member = handshakes_.front(); member != nullptr; member = member->next) {
    if (chosen.size() >= blocked.all) return;
    const Client& client = *member->client_;
    const std::size_t has = client.handshakes - client.leaving;
    const bool newcomersWait = chosen.size() < blocked.addresses;
    const bool isRich = (client.isCostly && noneIsFree) || has > quarterOf(limits_.handshakes);
    Clock::duration patience = newcomersWait ? forNewcomers : kPatienceWithEquals;
    if ((isRich && chosen.size() < blocked.poor) || (newcomersWait && has > 1)) {
      patience = kPatienceWithRich;
    }
    if (member->standing(now).behind >= patience) choose(*member, chosen);
  }
}

/// The latest first.
void Admission::chooseLate(Clock::time_point now, std::size_t wanted,
                           std::vector<Member*>& chosen) {
  std::vector<std::pair<Clock::duration, Member*>> late;
  for (Member* member = established_.front(); member != nullptr; member = member->next) {
    const Standing standing = member->standing(now);
    if (standing.awaited && standing.behind >= kPatience)
      late.emplace_back(standing.behind, member);
  }
  std::sort(late.begin(), late.end(), std::greater<>());
  late.resize(std::min(late.size(), wanted));
  for (const auto& [behind, member] : late) choose(*member, chosen);
}

void Admission::chooseLong(Clock::time_point now, std::size_t places, std::size_t wanted,
                           std::vector<Member*>& chosen) {
  std::vector<Member*> holdLong;
  for (Member* member = established_.front(); member != nullptr; member = member->next) {
    const Standing standing = member->standing(now);
    const bool isLate = standing.behind >= kPatience;  // chosen already
    if (standing.awaited && standing.waited >= kPatience && !isLate) holdLong.push_back(member);
  }
  const std::size_t tooMany = lessOf(holdLong.size(), places - places / 4);
  wanted = std::min({wanted, tooMany, kLongAtOnce});
  const auto poorer = [](const Member* a, const Member* b) {
    return a->client_->holds - a->client_->leaving < b->client_->holds - b->client_->leaving;
  };
  for (; wanted > 0; --wanted) {
    const auto richest = std::max_element(holdLong.begin(), holdLong.end(), poorer);
    choose(**richest, chosen);
    holdLong.erase(richest);
  }
}

void Admission::choose(Member& member, std::vector<Member*>& chosen) {
  ++member.client_->leaving;
  chosen.push_back(&member);
}

}  // namespace egalaxyd
