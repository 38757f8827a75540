#include "worker/connection/drain.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "worker/transport/unreceived.h"

namespace egalaxyd {
namespace {

constexpr std::uint32_t kMostBytes = 64 * 1024 * 1024;
constexpr int kReadsPerTurn = 16;
/// The time over which limits.download_min_rate is measured.
constexpr auto kWindow = std::chrono::seconds(30);

}  // namespace

Drain::Drain(int socket, const LimitsConfig& limits, BodyLeft bodyLeft, bool plain,
             Clock::time_point now)
    : socket_(socket), limits_(limits), bodyLeft_(bodyLeft), plain_(plain), lastTaken_(now) {
  if (bodyLeft_ == 0) {
    finish();
    return;
  }
  // The answer's last bytes wait for the FIN (MSG_MORE); this sends them now.
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Drain::Next Drain::receive() {
  std::array<char, 4096> waste;
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const ssize_t got = ::recv(socket_, waste.data(), waste.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    const bool nothing = got < 0 && errno == EAGAIN;
    if (!nothing && got <= 0) return Next::kClose;
    if (!nothing) received_ += static_cast<std::uint32_t>(got);
    if (received_ > kMostBytes) return Next::kClose;
    if (received_ >= bodyLeft_.value_or(0) && (nothing || (bodyLeft_ && plain_))) finish();
    if (nothing) return Next::kWait;
  }
  return Next::kContinue;
}

Drain::Next Drain::look(Clock::time_point now) {
  if (receive() == Next::kClose) return Next::kClose;
  const int unreceived = unreceivedBytes(socket_);
  if (unreceived_ == INT_MAX) {
    windowStart_ = now;
    windowUnreceived_ = unreceived;
  }
  if (unreceived < std::exchange(unreceived_, unreceived)) lastTaken_ = now;
  const bool sends = std::exchange(receivedBefore_, received_) != received_;
  if (now - lastTaken_ >= limits_.writeTimeout) return Next::kClose;
  if (unreceived > 0 && takesTooSlowly(now, unreceived)) return Next::kClose;
  if (sends) return Next::kWait;
  if (!finished_) {  // the client may be waiting for the end of the answer
    finish();
  } else if (unreceived == 0) {
    return Next::kClose;
  }
  return Next::kWait;
}

void Drain::finish() {
  if (!std::exchange(finished_, true)) ::shutdown(socket_, SHUT_WR);
}

bool Drain::takesTooSlowly(Clock::time_point now, int unreceived) {
  if (!limits_.downloadMinRate || now - windowStart_ < kWindow) return false;
  const std::chrono::duration<double> window = now - windowStart_;
  const auto taken = static_cast<double>(windowUnreceived_ - unreceived);
  windowStart_ = now;
  windowUnreceived_ = unreceived;
  return taken < static_cast<double>(*limits_.downloadMinRate) * window.count();
}

}  // namespace egalaxyd
