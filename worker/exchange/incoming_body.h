// The part of an exchange that takes what a client sends behind its request line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/loop/event_loop.h"
#include "worker/exchange/exchange_context.h"
#include "worker/exchange/pace.h"
#include "worker/site/request_body.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// TCP_QUICKACK: the kernel keeps an acknowledgement back for 40 ms, hoping that bytes of ours will
/// carry it. We have none before the client has said more, and a client with Nagle's algorithm
/// (without TCP_NODELAY) says nothing before it has the acknowledgement.
void acknowledgeNow(int socket);

/// Reads only what the site wants, so that a slow disk holds back the client and not the memory;
/// holds the client to the announced size, to limits.upload_timeout and limits.upload_min_rate.
/// Loop thread only; never waits. Sets the exchange's deadline while it is wanted.
class IncomingBody {
 public:
  /// All references outlive it. `behind` came with the line. `surplusIsError`: more bytes than were
  /// announced. `onLeft` is called, at the end of a read, when the client has left.
  IncomingBody(const ExchangeContext& context, ExchangeOwner& owner, Transport& transport,
               Pace& pace, std::uint64_t size, std::string_view behind, bool surplusIsError,
               UniqueFunction<void()> onLeft);
  IncomingBody(const IncomingBody&) = delete;
  IncomingBody& operator=(const IncomingBody&) = delete;

  const std::shared_ptr<RequestBody>& body() const { return body_; }
  bool isWanted() const { return !ended_ && body_->isWanted(); }
  /// What has not been read, here or by the site.
  std::uint64_t left() const { return left_ - std::min<std::uint64_t>(left_, behind_.size()); }

  /// Gives what has come for as long as the site wants more.
  void receive();
  void onDeadline();
  /// Nothing more is read.
  void stop() { ended_ = true; }
  /// As stop(); the site's read under way, and its next, get `error`.
  void end(Error error);

 private:
  void onWanted();
  std::optional<Result<std::string>> next();
  void await();
  void restBetweenDrips();
  void wakeFrom(int bytes);
  void fail(Error error);

  const ExchangeContext& context_;
  ExchangeOwner& owner_;
  Transport& transport_;
  Pace& pace_;
  const bool surplusIsError_;
  UniqueFunction<void()> onLeft_;
  const std::shared_ptr<RequestBody> body_;
  std::string behind_;
  std::uint64_t left_;  ///< of the body, not yet given
  Clock::time_point deadline_;
  Clock::time_point given_;                      ///< when the site last had enough
  int drips_ = 0;                                ///< small reads, one after the other
  std::optional<Clock::time_point> restsUntil_;  ///< what drips in gathers in the kernel until then
  int lowWater_ = 1;                             ///< the kernel wakes us for no less
  bool ended_ = false;
};

}  // namespace egalaxyd
