#include "worker/plugin/plugin_loader.h"

#include <Poco/ClassLoader.h>
#include <dlfcn.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/regular_file.h"
#include "worker/plugin/plugin.h"
#include "worker/plugin/plugin_guard.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

/// Identifies one state of a file.
using FileStamp = std::tuple<dev_t, ino_t, time_t, long>;

FileStamp stampOf(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

Result<void> checkAbi(void* library, const fs::path& path) {
  const void* abi = ::dlsym(library, "egalaxydPluginAbi");
  if (abi == nullptr) {
    return invalid(
        fmt::format("{}: no plug-in of egalaxyd: EGALAXYD_PLUGIN is missing in it", path.string()));
  }
  const auto number = *static_cast<const std::uint32_t*>(abi);
  if (number == kPluginAbi) return {};
  return invalid(
      fmt::format("{}: built for plug-in ABI {}, but this egalaxyd has {}: build it anew with the "
                  "headers of this version",
                  path.string(), number, kPluginAbi));
}

/// Maps the library, checks its number and returns its canonical path. Uses RTLD_NOW, and POCO's
/// loader then finds it mapped: POCO itself binds lazily, so a missing symbol would end a worker in
/// the middle of a request.
Result<std::string> openLibrary(const fs::path& named) {
  static std::map<std::string, FileStamp> opened;
  std::error_code error;
  const fs::path path = fs::canonical(named, error);
  struct stat status {};
  if (error || ::stat(path.c_str(), &status) != 0) {
    return errnoError(named.string(), error ? error.value() : errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return invalid(path.string() + ": " + notRegular(status.st_mode).message);
  }
  if (const auto known = opened.find(path.string()); known != opened.end()) {
    if (known->second != stampOf(status)) {
      spdlog::warn(
          "{} has changed since it was loaded; the old code stays in use until egalaxyd is "
          "restarted",
          path.string());
    }
    return path.string();
  }
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return invalid(fmt::format("{}: cannot be loaded: {}", path.string(), ::dlerror()));
  }
  if (auto checked = checkAbi(library, path); !checked) {
    ::dlclose(library);  // nothing of it is in use: a corrected one may be loaded later
    return std::move(checked).error();
  }
  opened.emplace(path.string(), stampOf(status));
  return path.string();
}

template <class Base>
struct Kind;
template <>
struct Kind<SitePlugin> {
  static constexpr const char *kNoun = "site", *kManifest = "Sites", *kMacro = "SITES";
};
template <>
struct Kind<Router> {
  static constexpr const char *kNoun = "router", *kManifest = "Routers", *kMacro = "ROUTERS";
};
template <>
struct Kind<RateLimiter> {
  static constexpr const char *kNoun = "rate limiter", *kManifest = "RateLimiters",
                              *kMacro = "RATE_LIMITERS";
};

template <class Base>
Error noSuchClass(const Poco::Manifest<Base>& manifest, const std::string& path,
                  const std::string& className) {
  std::string classes;
  for (auto each = manifest.begin(); each != manifest.end(); ++each) {
    classes += (classes.empty() ? "" : ", ") + std::string(each->name());
  }
  if (className.empty()) {
    return invalid(fmt::format("{}: say which {} is meant: {}", path, Kind<Base>::kNoun,
                               classes.empty() ? "it has none" : classes));
  }
  return invalid(fmt::format("{}: class {}: there is no such {} in it; it has {}", path, className,
                             Kind<Base>::kNoun, classes.empty() ? "none" : classes));
}

template <class Base>
struct Made {
  std::shared_ptr<Base> object;
  std::string name;  ///< "LIBRARY: class CLASS", for messages
};

/// `className` empty: the only one of its kind.
template <class Base>
Result<Made<Base>> make(const fs::path& library, const std::string& className) {
  // Never destroyed: libraries stay loaded, and objects may outlive static destruction.
  static auto& loader = *new Poco::ClassLoader<Base>;
  auto path = openLibrary(library);
  if (!path) {
    if (className.empty()) return std::move(path).error();
    return Error{path.error().code,
                 fmt::format("{} (for its class {})", path.error().message, className)};
  }
  const auto loaded =
      contained(fmt::format("{}: class {}: cannot read its {} manifest (EGALAXYD_BEGIN_{})", *path,
                            className, Kind<Base>::kNoun, Kind<Base>::kMacro),
                [&] { loader.loadLibrary(*path, Kind<Base>::kManifest); });
  if (!loaded) return loaded.error();
  const auto& manifest = loader.manifestFor(*path);
  auto found = manifest.find(className);
  if (className.empty() && manifest.size() == 1) found = manifest.begin();
  if (found == manifest.end()) return noSuchClass(manifest, *path, className);
  std::string name = fmt::format("{}: class {}", *path, found->name());
  auto object = contained(name, [&] { return std::shared_ptr<Base>(found->create()); });
  if (!object) return std::move(object).error();
  return Made<Base>{std::move(*object), std::move(name)};
}

/// "LIBRARY" or "LIBRARY:CLASS". A class may have "::" in its name, a library has no ':'.
std::pair<fs::path, std::string> splitModule(const std::string& module) {
  const auto slash = module.rfind('/');
  const auto colon = module.find(':', slash == std::string::npos ? 0 : slash);
  if (colon == std::string::npos) return {module, ""};
  return {module.substr(0, colon), module.substr(colon + 1)};
}

}  // namespace

Result<std::shared_ptr<Site>> loadSite(const PluginArgs& args) {
  auto made = make<SitePlugin>(args.library, args.className);
  if (!made) return std::move(made).error();
  const auto configured = contained(made->name, [&] { return made->object->configure(args.args); });
  if (!configured) return configured.error();
  if (!*configured) {
    const Error& error = configured->error();
    return Error{error.code, made->name + ": " + error.message};
  }
  return std::shared_ptr<Site>(
      std::make_shared<GuardedSite>(std::move(made->object), std::move(made->name)));
}

Result<std::shared_ptr<Router>> loadRouter(const std::string& module) {
  const auto [library, className] = splitModule(module);
  auto made = make<Router>(library, className);
  if (!made) return std::move(made).error();
  return std::shared_ptr<Router>(
      std::make_shared<GuardedRouter>(std::move(made->object), std::move(made->name)));
}

Result<std::shared_ptr<RateLimiter>> loadRateLimiter(const std::string& module) {
  const auto [library, className] = splitModule(module);
  auto made = make<RateLimiter>(library, className);
  if (!made) return std::move(made).error();
  return std::shared_ptr<RateLimiter>(
      std::make_shared<GuardedRateLimiter>(std::move(made->object), std::move(made->name)));
}

}  // namespace egalaxyd
