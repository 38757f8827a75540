// Everything that serving one configuration needs and that can be wrong. The master builds it
// before it forks, and the workers inherit it copy-on-write; --check builds it and discards it.
#pragma once

#include <memory>

#include "common/config/config.h"
#include "worker/file/served_root.h"
#include "worker/plan/tls_contexts.h"
#include "worker/route/router.h"
#include "worker/site/rate_limiter.h"

namespace egalaxyd {

struct ServingPlan {
  const Config& config;  ///< the generation's, which outlives the plan
  std::unique_ptr<TlsContexts> tls = {};
  std::shared_ptr<const Router> router = {};
  /// By host; nullptr for one without, none at all when no site has any.
  HostMap<std::shared_ptr<PatternRedirects>> redirects = {};
  std::shared_ptr<ServedRoots> roots = {};  ///< of its sites; a worker's loop looks after them
  /// Out of a plug-in; nullptr: the built-in one, or none.
  std::shared_ptr<RateLimiter> rateLimiter = {};
};

}  // namespace egalaxyd
