// What becomes of a socket after the answer: the client has yet to receive that, and may still be
// sending.
#pragma once

#include <climits>
#include <cstdint>

#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "worker/exchange/exchange.h"

namespace egalaxyd {

/// Reads and throws away what still comes, since a socket that is closed with bytes unread, or to
/// which more bytes come, is reset, and the client loses its answer. Ends our side (FIN) at once,
/// or, where a body was announced, when it has come: some clients stop at our FIN and never send
/// the rest, nor read the answer.
///
/// Ends when the client has ended its side, or has the answer and sends no more; at the latest when
/// it has taken nothing for limits.write_timeout, or takes less than limits.download_min_rate, or
/// has sent 64 MiB. Loop thread only; the socket is its owner's.
class Drain {
 public:
  /// How often look() has to be called.
  static constexpr auto kInterval = std::chrono::seconds(2);

  /// `plain`: bytes of the body are bytes on the wire; under TLS they are a few more.
  Drain(int socket, const LimitsConfig& limits, BodyLeft bodyLeft, bool plain,
        Clock::time_point now);

  enum class Next {
    kWait,      ///< for readable, or the next look
    kContinue,  ///< there is more to read, after others had their turn
    kClose,
  };
  /// The socket may have become readable.
  Next receive();
  /// kInterval has passed.
  Next look(Clock::time_point now);

 private:
  void finish();
  bool takesTooSlowly(Clock::time_point now, int unreceived);

  const int socket_;
  const LimitsConfig& limits_;
  const BodyLeft bodyLeft_;
  const bool plain_;
  bool finished_ = false;             ///< the FIN was sent
  std::uint32_t received_ = 0;        ///< bytes thrown away
  std::uint32_t receivedBefore_ = 0;  ///< at the last look
  /// Of the answer, at the last look; most clients have all of it before the first.
  int unreceived_ = INT_MAX;
  int windowUnreceived_ = 0;     ///< when the rate's window began
  Clock::time_point lastTaken_;  ///< when unreceived_ last became less
  Clock::time_point windowStart_{};
};

}  // namespace egalaxyd
