// What answers requests below one path.
#pragma once

#include "worker/request.h"
#include "worker/responder.h"

namespace egalaxyd {

class BlockingPool;
class EventLoop;

/// What a site may use while it answers; all of it outlives every request.
struct Services {
  EventLoop& loop;
  BlockingPool& pool;
};

/// Built by the master before the fork, used by every worker on its loop's thread.
class Site {
 public:
  virtual ~Site() = default;
  /// Answers now or later through `reply`, exactly once. Must not wait: what can goes through
  /// `services.pool`.
  virtual void handle(Request request, Responder reply, Services& services) = 0;
};

}  // namespace egalaxyd
