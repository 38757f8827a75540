// Who asks too often. The built-in one counts in shared memory; a plug-in may decide instead.
#pragma once

#include <chrono>
#include <optional>

#include "common/wire/ip_address.h"

namespace egalaxyd {

/// Built by the master before the fork; each worker asks its own copy, on its loop's thread.
class RateLimiter {
 public:
  virtual ~RateLimiter() = default;
  /// Counts one connection of `client`, whose first message has come and which is good for one
  /// request, whatever becomes of it. nullopt: it may pass; else the request is answered 44 with
  /// the seconds that the client has to wait, or the connection is closed. Must not wait itself.
  virtual std::optional<std::chrono::seconds> count(const IpAddress& client) = 0;
};

}  // namespace egalaxyd
