// The header that a plug-in includes: sites, routers and rate limiters of your own in a shared
// library. examples/plugin/README.md is a tutorial.
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

// Both sides must share the type information of these types, even if a plug-in hides all else.
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
/// notice. A library with another number is refused before any of its classes is used.
inline constexpr std::uint32_t kPluginAbi = 9;

/// `args` in the configuration.
using PluginArguments = std::map<std::string, std::string>;

/// A site from a plug-in. It is created and configured by the master, perhaps as root, before the
/// fork. Each worker then answers with its own copy, on its loop's thread, unprivileged and
/// sandboxed: open in configure() what handle() needs, but start no thread there.
///
/// If handle(), or a callback of Request::body, throws, the request is answered 42. If the
/// response's body throws, or gives a chunk that BodySource does not allow, the connection ends. If
/// work that was passed to Services throws, that work is destroyed, with the Responder that it
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
  /// Short input by default; a site that takes uploads overrides this, and reads Request::body.
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

/// For each kind, list its classes, which need a constructor without parameters:
/// POCO_EXPORT_CLASS(Class) for each, then POCO_END_MANIFEST. At most once per kind, outside of any
/// namespace.
#define EGALAXYD_BEGIN_SITES POCO_BEGIN_NAMED_MANIFEST(Sites, egalaxyd::SitePlugin)
#define EGALAXYD_BEGIN_ROUTERS POCO_BEGIN_NAMED_MANIFEST(Routers, egalaxyd::Router)
#define EGALAXYD_BEGIN_RATE_LIMITERS POCO_BEGIN_NAMED_MANIFEST(RateLimiters, egalaxyd::RateLimiter)
