// All that a plug-in includes: sites, routers and rate limiters of your own in a shared library.
// examples/plugin/README.md goes from the first line to a running server.
//
//   class Hello : public egalaxyd::SitePlugin { … };
//
//   EGALAXYD_PLUGIN
//   EGALAXYD_BEGIN_SITES
//   POCO_EXPORT_CLASS(Hello)
//   POCO_END_MANIFEST
#pragma once

#include <Poco/ClassLibrary.h>

#include <cstdint>
#include <map>
#include <string>

// Types that both sides use are one and the same, even where a plug-in hides everything else.
#pragma GCC visibility push(default)
#include "common/base/path.h"
#include "common/base/result.h"
#include "common/loop/event_loop.h"
#include "worker/base/lane.h"
#include "worker/route/router.h"
#include "worker/site/rate_limiter.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Grows whenever a header that is installed with this one changes in a way that compiled plug-ins
/// notice. A library with another number is refused before any of it is used.
inline constexpr std::uint32_t kPluginAbi = 6;

/// The configuration's `args`.
using PluginArguments = std::map<std::string, std::string>;

/// A site out of a plug-in. Made and configured by the master, perhaps as root, before it forks;
/// each worker then answers with its own copy, on its loop's thread, unprivileged and sandboxed:
/// open in configure() what handle() needs, and start no thread there.
///
/// An exception out of handle(), or out of a callback of Request::body, is that request's 42; one
/// out of the response's body is its end, and so is a chunk that BodySource does not allow. One out
/// of what Services was given to run destroys what was to run, and with it the Responder that it
/// holds. Responder::send() and BodySource::wake() may be called on any thread; everything else
/// belongs to the loop's.
class SitePlugin : public Site {
 public:
  /// Called once. An Error fails the start or the reload; its message tells the operator what was
  /// found and what is allowed.
  virtual Result<void> configure(const PluginArguments& arguments) {
    if (arguments.empty()) return {};
    return Error{ErrorCode::kInvalid, "args: \"" + arguments.begin()->first + "\" is not known"};
  }
  /// A site that takes uploads says so here, and reads Request::body.
  AcceptedBody takes(std::string_view) const override { return AcceptedBody::kInput; }
};

}  // namespace egalaxyd
#pragma GCC visibility pop

/// Once in each library, outside of any namespace.
#define EGALAXYD_PLUGIN                                          \
  extern "C" {                                                   \
  extern POCO_LIBRARY_API const std::uint32_t egalaxydPluginAbi; \
  const std::uint32_t egalaxydPluginAbi = egalaxyd::kPluginAbi;  \
  }

/// The classes of one kind, which need a constructor without parameters: POCO_EXPORT_CLASS(Class)
/// for each, then POCO_END_MANIFEST. At most once each, outside of any namespace.
#define EGALAXYD_BEGIN_SITES POCO_BEGIN_NAMED_MANIFEST(Sites, egalaxyd::SitePlugin)
#define EGALAXYD_BEGIN_ROUTERS POCO_BEGIN_NAMED_MANIFEST(Routers, egalaxyd::Router)
#define EGALAXYD_BEGIN_RATE_LIMITERS POCO_BEGIN_NAMED_MANIFEST(RateLimiters, egalaxyd::RateLimiter)
