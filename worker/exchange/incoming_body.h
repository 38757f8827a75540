// The part of an exchange that receives the body behind the request line.
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

/// TCP_QUICKACK: sends the delayed ACK now. The kernel holds it back for 40 ms to send it with our
/// data, but we send none before the client has sent more; and a client that uses Nagle's algorithm
/// (no TCP_NODELAY) sends no more before it has the ACK.
void acknowledgeNow(int socket);

/// Reads only when the site wants more, so that a slow disk slows the client down instead of
/// filling memory. Enforces the announced size, limits.upload_timeout and limits.upload_min_rate.
/// Loop thread only; never waits. Sets the exchange's deadline while it is wanted.
class IncomingBody {
 public:
  /// All references outlive it. `behind` came with the line. `surplusIsError`: whether more bytes
  /// than announced are an error. `onLeft` is called, at the end of a read, when the client has
  /// left.
  IncomingBody(const ExchangeContext& context, ExchangeOwner& owner, Transport& transport,
               Pace& pace, std::uint64_t size, std::string_view behind, bool surplusIsError,
               UniqueFunction<void()> onLeft);
  IncomingBody(const IncomingBody&) = delete;
  IncomingBody& operator=(const IncomingBody&) = delete;

  const std::shared_ptr<RequestBody>& body() const { return body_; }
  bool isWanted() const { return !ended_ && body_->isWanted(); }
  /// Bytes that have not been read from the client.
  std::uint64_t left() const { return left_ - std::min<std::uint64_t>(left_, behind_.size()); }

  /// Passes on what has come for as long as the site wants more.
  void receive();
  void onDeadline();
  /// Nothing more is read.
  void stop() { ended_ = true; }
  /// Like stop(); the site's current read, or its next one, gets `error`.
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
  std::uint64_t left_;  ///< bytes of the body not yet given to the site
  Clock::time_point deadline_;
  Clock::time_point given_;                      ///< when bytes were last given to the site
  int drips_ = 0;                                ///< small reads in a row
  std::optional<Clock::time_point> restsUntil_;  ///< until then the kernel collects small reads
  int lowWater_ = 1;                             ///< SO_RCVLOWAT of the socket
  bool ended_ = false;
};

}  // namespace egalaxyd
