// Decides which clients ask too often. The built-in limiter counts in shared memory; a plug-in may
// take its place.
#pragma once

#include <chrono>
#include <optional>

#include "common/wire/ip_address.h"

namespace egalaxyd {

/// Built by the master before the fork; each worker calls its own copy, on its loop's thread.
class RateLimiter {
 public:
  virtual ~RateLimiter() = default;
  /// Counts one connection of `client`, when its first message has come; it is good for at most one
  /// request. nullopt: it may pass; otherwise the request is answered 44 with the seconds that the
  /// client has to wait, or the connection is closed. Must not wait itself.
  virtual std::optional<std::chrono::seconds> count(const IpAddress& client) = 0;
  /// A connection of `client` that was counted turned out to be an upload or an edit that a token
  /// or a certificate entitles it to (UploadRight::kGranted): it is not to count. It passes, also
  /// where count() told it to wait.
  virtual void giveBack(const IpAddress& client) { static_cast<void>(client); }
};

}  // namespace egalaxyd
