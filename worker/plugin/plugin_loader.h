// Loads sites, routers and rate limiters from shared libraries, with POCO's ClassLoader.
#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "worker/route/router.h"
#include "worker/site/rate_limiter.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Each loads the library once per process, checks its ABI number before it uses anything else in
/// it, creates one object of the named class and configures it. An Error names the library, the
/// class and what is wrong. Master only, before the fork and under --check; libraries are never
/// unloaded.
Result<std::shared_ptr<Site>> loadSite(const PluginArgs& args);
/// `module`: "LIBRARY" if it has one class of that kind, otherwise "LIBRARY:CLASS".
Result<std::shared_ptr<Router>> loadRouter(const std::string& module);
Result<std::shared_ptr<RateLimiter>> loadRateLimiter(const std::string& module);

}  // namespace egalaxyd
