// Closes a socket after the answer, which the client has yet to receive while it may still send.
#pragma once

#include <climits>
#include <cstdint>

#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "worker/exchange/exchange.h"

namespace egalaxyd {

/// Reads and discards what still comes: if a socket is closed with unread data, or data arrives
/// after the close, the kernel sends a RST, and the client loses its answer. Sends our FIN at once
/// or, if a body was announced, when it has arrived: some clients stop at our FIN, and neither send
/// the rest nor read the answer.
///
/// Ends when the client has closed its side, or has the answer and sends no more; at the latest
/// when it has received nothing for limits.write_timeout, receives less than
/// limits.download_min_rate, or has sent 64 MiB. Loop thread only; does not own the socket.
class Drain {
 public:
  /// How often look() has to be called.
  static constexpr auto kInterval = std::chrono::seconds(2);

  /// `plain`: without TLS, which adds some bytes on the wire to those of the body.
  Drain(int socket, const LimitsConfig& limits, BodyLeft bodyLeft, bool plain,
        Clock::time_point now);

  enum class Next {
    kWait,      ///< until the socket is readable, or the next look()
    kContinue,  ///< there is more to read; first others get their turn
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
  std::uint32_t received_ = 0;        ///< bytes discarded
  std::uint32_t receivedBefore_ = 0;  ///< at the last look
  /// Bytes of the answer that the client has not acknowledged at the last look(); mostly none at
  /// the first.
  int unreceived_ = INT_MAX;
  int windowUnreceived_ = 0;     ///< unreceived_ when the rate's window began
  Clock::time_point lastTaken_;  ///< when unreceived_ last became less
  Clock::time_point windowStart_{};
};

}  // namespace egalaxyd
