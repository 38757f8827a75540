// The last part of an exchange: a header and a body to bytes, as the client takes them.
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

/// What one connection may send, or read to throw it away, before others have their turn.
inline constexpr std::uint64_t kBytesPerTurn = 128 * 1024;

/// Holds the client to limits.write_timeout and limits.download_min_rate. Loop thread only; never
/// waits. Sets the exchange's deadline from begin() on.
class ResponseWriter {
 public:
  /// All references outlive it.
  ResponseWriter(const ExchangeContext& context, ExchangeOwner& owner, Pace& pace)
      : context_(context), owner_(owner), pace_(pace) {}
  ResponseWriter(const ResponseWriter&) = delete;
  ResponseWriter& operator=(const ResponseWriter&) = delete;

  enum class Outcome {
    kUnderWay,    ///< for the socket, the body or its next turn
    kDone,        ///< all is on its way, and our side has ended
    kClientLeft,  ///< the rest are ends too, with bytes unsent
    kBodyFailed,
    kStopped,  ///< the client took nothing for limits.write_timeout
    kTooSlow,  ///< or less than limits.download_min_rate
  };

  /// Once, before the others. `body` is null where there is none.
  void begin(std::string header, std::unique_ptr<BodySource> body);
  /// Sends what the socket takes, up to kBytesPerTurn.
  Outcome send(Transport& transport);
  Outcome onDeadline(const Transport& transport);
  /// What the client's kernel has acknowledged is what it took: the socket's buffer takes megabytes
  /// of an answer that nobody reads.
  void look(const Transport& transport, Clock::time_point now);
  /// Frees the body.
  void end() { body_.reset(); }

  /// Whether it waits for the body, and not for the client.
  bool awaitsBody() const { return bodyAwaited_; }
  /// Of header and body, given to the transport.
  std::uint64_t bytesOut() const { return bytesOut_; }
  /// When its first bytes were on their way; zero before that.
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
  std::uint64_t bytesOut_ = 0;
  std::uint64_t socketTook_ = 0;    ///< of the answer, as it is on the wire
  std::uint64_t acknowledged_ = 0;  ///< of these, when last looked at
  Clock::time_point firstByte_{};
  Clock::time_point lastTaken_{};  ///< when acknowledged_ last grew
};

}  // namespace egalaxyd
