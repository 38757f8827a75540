// The last part of an exchange: sends header and body as fast as the client takes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/loop/event_loop.h"
#include "worker/exchange/exchange_context.h"
#include "worker/exchange/pace.h"
#include "worker/site/body.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// Bytes that a connection may send, or read and discard, before others get their turn.
inline constexpr std::uint64_t kBytesPerTurn = 128 * 1024;

/// Enforces limits.write_timeout and limits.download_min_rate. Loop thread only; never waits. Sets
/// the exchange's deadline from begin() on.
class ResponseWriter {
 public:
  /// All references outlive it.
  ResponseWriter(const ExchangeContext& context, ExchangeOwner& owner, Pace& pace)
      : context_(context), owner_(owner), pace_(pace) {}
  ResponseWriter(const ResponseWriter&) = delete;
  ResponseWriter& operator=(const ResponseWriter&) = delete;

  enum class Outcome {
    kUnderWay,    ///< waits for the socket, the body or its next turn
    kDone,        ///< everything was given to the kernel, the end included
    kClientLeft,  ///< this and all below: it ended with bytes unsent
    kBodyFailed,
    kStopped,  ///< the client took nothing for limits.write_timeout
    kTooSlow,  ///< or less than limits.download_min_rate
  };

  /// Call once, before the others. `body` may be null.
  void begin(std::string header, std::unique_ptr<BodySource> body);
  /// Sends what the socket takes, up to kBytesPerTurn.
  Outcome send(Transport& transport);
  Outcome onDeadline(const Transport& transport);
  /// Credits the client with what its kernel has acknowledged. What our socket took does not count:
  /// its buffer takes megabytes of an answer that nobody reads.
  void look(const Transport& transport, Clock::time_point now);
  /// Frees the body.
  void end() { body_.reset(); }

  /// Whether it waits for the body, and not for the client.
  bool awaitsBody() const { return bodyAwaited_; }
  /// Whether the body itself sees to it that it goes on in time.
  bool bodyKeepsTime() const { return body_ && body_->keepsTime(); }
  /// Bytes of header and body that the transport was given.
  std::uint64_t bytesOut() const { return bytesOut_; }
  /// When the socket took the first bytes; zero before that.
  Clock::time_point firstByte() const { return firstByte_; }

 private:
  bool produce(Transport& transport);
  Outcome awaitReader(const Transport& transport, Clock::time_point now);

  const ExchangeContext& context_;
  ExchangeOwner& owner_;
  Pace& pace_;
  std::string header_;  ///< not yet written
  std::unique_ptr<BodySource> body_;
  bool bodyAwaited_ = false;  ///< the body said kLater
  bool allWritten_ = false;
  bool bodyFailed_ = false;
  std::uint64_t bytesOut_ = 0;
  std::uint64_t socketTook_ = 0;    ///< bytes of the answer, as on the wire
  std::uint64_t acknowledged_ = 0;  ///< of these, what the client had at the last look()
  Clock::time_point firstByte_{};
  Clock::time_point lastTaken_{};  ///< when acknowledged_ last grew
};

}  // namespace egalaxyd
