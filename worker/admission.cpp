#include "worker/admission.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

/// An established holder that is this late yields; one that kept us waiting so long holds for long.
constexpr auto kPatience = std::chrono::seconds(2);
/// The same in a handshake: a client program, or a proxy, that has thousands to look after is slow
/// to answer, as are bad lines.
constexpr Clock::duration kLeastPatience = std::chrono::seconds(1);
constexpr Clock::duration kMostPatience = std::chrono::seconds(3);
/// While addresses wait that have less.
constexpr Clock::duration kLeastPatienceForPoorer = milliseconds(200);
constexpr Clock::duration kMostPatienceForPoorer = std::chrono::seconds(1);
/// When the clients are many on a slow machine, all their handshakes take long.
constexpr int kUsualHandshakes = 4;
constexpr int kAverageOver = 8;
/// How often all the established are looked at: there are thousands.
constexpr auto kLookInterval = milliseconds(100);
/// Long transfers that are ended at one look.
constexpr std::size_t kLongAtOnce = 64;

std::size_t quarterOf(std::size_t places) { return std::max<std::size_t>(places / 4, 1); }

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
  if (took > Clock::duration::zero()) {
    usualHandshake_ += (took - usualHandshake_) / kAverageOver;
    if (took <= kMostPatienceForPoorer) quickHandshake_ += (took - quickHandshake_) / kAverageOver;
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
  chooseHandshakes(now, most, chosen);
  const std::size_t wanted = missing(lessOf(most, holders()), most, most);
  if (wanted > chosen.size() && now - lastLook_ >= kLookInterval) {
    lastLook_ = now;
    chooseLate(now, wanted - chosen.size(), chosen);
    chooseLong(now, most, wanted - chosen.size(), chosen);
  }
  for (Member* member : chosen) member->client_->leaving = 0;
  return chosen;
}

std::size_t Admission::places(std::size_t elsewhere) const {
  return std::max(limits_.own, lessOf(limits_.all, elsewhere));
}

bool Admission::hasItsShare(const Client& client, std::size_t places) const {
  return client.handshakes >= quarterOf(limits_.handshakes) ||
         client.holds - client.leaving >= quarterOf(places);
}

/// An address that has its share leaves room for one that comes now.
bool Admission::mayTake(const Client& client, std::size_t places) const {
  if (!hasItsShare(client, places)) return true;
  return limits_.handshakes - handshakes_.size() > limits_.handshakes / 8 &&
         places - holders() > places / 8;
}

Admission::Client* Admission::chooseClient(std::size_t places) {
  ringsTurn_ = !ringsTurn_;
  IntrusiveList<Client>* const lines[] = {ringsTurn_ ? &ring_ : &fresh_,
                                          ringsTurn_ ? &fresh_ : &ring_};
  for (const auto* line : lines) {
    for (Client* client = line->front(); client != nullptr; client = client->next) {
      if (!hasItsShare(*client, places)) return client;
    }
  }
  // Everyone who waits has a share already; few can.
  for (const auto* line : lines) {
    for (Client* client = line->front(); client != nullptr; client = client->next) {
      if (mayTake(*client, places)) return client;
    }
  }
  for (Client* client = costly_.front(); client != nullptr; client = client->next) {
    if (mayTake(*client, places)) return client;
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

/// How many wait whose addresses have less than their share and are not costly; `most` is enough.
std::size_t Admission::waitingWithinShare(std::size_t places, std::size_t most) const {
  std::size_t count = 0;
  for (const auto* line : {&fresh_, &ring_}) {
    for (Client* client = line->front(); client != nullptr && count < most; client = client->next) {
      if (!hasItsShare(*client, places)) count += client->waiting.size();
    }
  }
  return std::min(count, most);
}

/// For how many that wait there is no place among `free` ones of `all`, an eighth of which is for
/// those with less than their share.
std::size_t Admission::missing(std::size_t free, std::size_t all, std::size_t places) const {
  const std::size_t within = waitingWithinShare(places, all);
  const std::size_t beyond = waiting_ - within;
  return lessOf(within, free) + lessOf(beyond, lessOf(free, within + all / 8));
}

void Admission::chooseHandshakes(Clock::time_point now, std::size_t places,
                                 std::vector<Member*>& chosen) {
  const std::size_t free =
      std::min(limits_.handshakes - handshakes_.size(), lessOf(places, holders()));
  const std::size_t wanted = missing(free, limits_.handshakes, places);
  // Places that one address has beyond its share go to those who have less, and to no others.
  const std::size_t owed = lessOf(waitingWithinShare(places, limits_.handshakes), free);
  const auto [least, poor] = poorest();
  const Clock::duration patience =
      std::clamp(kUsualHandshakes * usualHandshake_, kLeastPatience, kMostPatience);
  const Clock::duration patienceForPoorer = std::clamp(
      kUsualHandshakes * quickHandshake_, kLeastPatienceForPoorer, kMostPatienceForPoorer);
  for (Member* member = handshakes_.front(); member != nullptr; member = member->next) {
    if (chosen.size() >= wanted) return;
    const Client& client = *member->client_;
    const std::size_t has = client.handshakes - client.leaving;
    const Clock::duration still = member->standing(now).behind;
    const bool poorerWait = has > least + 1 && chosen.size() < poor;
    const bool tooMany = has > quarterOf(limits_.handshakes) && chosen.size() < owed;
    if (still >= patience || (poorerWait && still >= patienceForPoorer) ||
        (tooMany && still >= kLeastPatienceForPoorer) ||
        (client.isCostly && chosen.size() < owed)) {
      choose(*member, chosen);
    }
  }
}

/// The least number of handshakes that an address has of whom anyone waits, and how many
/// connections of such addresses wait.
std::pair<std::size_t, std::size_t> Admission::poorest() const {
  std::size_t least = limits_.handshakes;
  std::size_t poor = 0;
  for (const auto* line : {&fresh_, &ring_}) {
    for (Client* client = line->front(); client != nullptr; client = client->next) {
      if (client->handshakes > least) continue;
      if (client->handshakes < least) poor = 0;
      least = client->handshakes;
      poor += client->waiting.size();
    }
  }
  return {least, poor};
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
