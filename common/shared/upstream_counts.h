// What a worker tells of the applications and capsules that it calls.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace egalaxyd {

/// So many of a configuration are counted one by one: those with the lowest UpstreamMount::number.
inline constexpr std::size_t kCountedUpstreams = 64;

/// Why a request got no answer from an upstream.
enum class UpstreamFault : std::uint8_t {
  kNone,
  kNoLauncher,    ///< nobody could connect
  kNoConnection,  ///< refused, or not made in time
  kNoHandshake,   ///< TLS failed, or it is not who it should be
  kNoAnswer,      ///< nothing, nothing in time, or nothing that can be understood
  kCount_
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(UpstreamFault::kCount_)>
    kUpstreamFaultNames{"none", "no launcher", "no connection", "no TLS handshake", "no answer"};

/// Written by one worker process, read by all; the master clears that of a dead worker. Times are
/// milliseconds since 1970; 0: never.
struct UpstreamCounts {
  std::atomic<std::int64_t> connections{0};  ///< that requests hold now
  std::atomic<std::uint64_t> answered{0};    ///< requests
  std::atomic<std::uint64_t> failed{0};      ///< requests, and attempts to connect
  std::atomic<std::uint64_t> answeredAt{0};
  std::atomic<std::uint64_t> failedAt{0};
  std::atomic<UpstreamFault> fault{UpstreamFault::kNone};  ///< the last
  std::atomic<std::uint64_t> asideSince{0};                ///< 0: it is not set aside

  void answer();
  void fail(UpstreamFault why);
  /// Whether it is set aside from now on.
  void setAside(bool aside);
  void clear();
};

/// Milliseconds since 1970.
inline std::uint64_t unixMilliseconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

inline void UpstreamCounts::answer() {
  answered.fetch_add(1, std::memory_order_relaxed);
  answeredAt.store(unixMilliseconds(), std::memory_order_relaxed);
  asideSince.store(0, std::memory_order_relaxed);
}

inline void UpstreamCounts::fail(UpstreamFault why) {
  failed.fetch_add(1, std::memory_order_relaxed);
  failedAt.store(unixMilliseconds(), std::memory_order_relaxed);
  fault.store(why, std::memory_order_relaxed);
}

inline void UpstreamCounts::setAside(bool aside) {
  if (aside == (asideSince.load(std::memory_order_relaxed) != 0)) return;
  asideSince.store(aside ? unixMilliseconds() : 0, std::memory_order_relaxed);
}

inline void UpstreamCounts::clear() {
  connections.store(0, std::memory_order_relaxed);
  answered.store(0, std::memory_order_relaxed);
  failed.store(0, std::memory_order_relaxed);
  answeredAt.store(0, std::memory_order_relaxed);
  failedAt.store(0, std::memory_order_relaxed);
  fault.store(UpstreamFault::kNone, std::memory_order_relaxed);
  asideSince.store(0, std::memory_order_relaxed);
}

}  // namespace egalaxyd
