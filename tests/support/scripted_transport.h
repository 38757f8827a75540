// A transport without a socket: the test writes what the client sends and reads what it got.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "worker/transport/transport.h"

namespace egalaxyd {

/// What a scripted client does and sees; outlives its transport.
struct ScriptedClient {
  std::deque<std::string> sends;  ///< one read each; nothing left means "blocked", or end if `left`
  bool left = false;              ///< after `sends`: the peer will send no more
  bool shakesHands = true;        ///< false: the handshake waits
  bool broken = false;            ///< every operation fails
  std::size_t takes = SIZE_MAX;   ///< bytes that the socket takes before it blocks
  std::string serverName;
  std::shared_ptr<const ClientIdentity> identity;
  UniqueFd socket;  ///< for poll; empty: one that has room

  std::string got;
  bool gotEnd = false;  ///< close_notify
};

class ScriptedTransport final : public Transport {
 public:
  explicit ScriptedTransport(ScriptedClient& client) : client_(client) {}

  IoResult handshake() override {
    if (client_.broken) return {IoStatus::kFailed};
    return {client_.shakesHands ? IoStatus::kDone : IoStatus::kBlocked};
  }
  IoResult read(std::span<char> into) override {
    if (client_.broken) return {IoStatus::kFailed};
    if (client_.sends.empty()) return {client_.left ? IoStatus::kEnd : IoStatus::kBlocked};
    const std::string bytes = std::move(client_.sends.front());
    client_.sends.pop_front();
    std::copy(bytes.begin(), bytes.end(), into.begin());
    return {IoStatus::kDone, bytes.size()};
  }
  void write(std::string_view bytes) override { held_.append(bytes); }
  void writeLast(std::string_view bytes) override {
    write(bytes);
    endHeld_ = true;
  }
  IoResult send() override {
    if (client_.broken) return {IoStatus::kFailed};
    const std::size_t taken = std::min(client_.takes, held_.size());
    client_.got.append(held_, 0, taken);
    held_.erase(0, taken);
    if (client_.takes != SIZE_MAX) client_.takes -= taken;
    if (!held_.empty()) return {IoStatus::kBlocked, taken};
    client_.gotEnd = client_.gotEnd || endHeld_;
    return {IoStatus::kDone, taken};
  }
  bool holdsBack() const override { return !held_.empty(); }
  int fd() const override { return client_.socket ? client_.socket.get() : writable_.get(); }
  UniqueFd releaseSocket() override { return UniqueFd(); }
  std::string_view serverName() const override { return client_.serverName; }
  std::shared_ptr<const ClientIdentity> identity() const override { return client_.identity; }

 private:
  ScriptedClient& client_;
  UniqueFd writable_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};  ///< a socket with room, for poll
  std::string held_;
  bool endHeld_ = false;
};

}  // namespace egalaxyd
