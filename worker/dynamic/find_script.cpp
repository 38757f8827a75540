#include "worker/dynamic/find_script.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "worker/dynamic/script_path.h"

namespace egalaxyd {
namespace {

// A rename anywhere in the system may disturb the resolution of "..": openat2 gives EAGAIN then.
constexpr int kMostDisturbed = 100;

Result<UniqueFd> lookAt(int folder, const char* path, std::uint64_t resolve, ScriptLook look) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve | (look == ScriptLook::kCached ? RESOLVE_CACHED : 0);
  for (int disturbances = 0; disturbances < kMostDisturbed; ++disturbances) {
    const long fd = ::syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno == EINTR) continue;
    if (errno == EAGAIN && look == ScriptLook::kWaiting) continue;
    break;
  }
  if (errno == EAGAIN) return Error{ErrorCode::kBusy, "not in memory"};
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) return errnoError("look", errno);
  // Missing, a link out of the root, closed to this account: it is not there.
  return Error{ErrorCode::kNotFound, "no such script"};
}

std::uint64_t policyOf(SymlinkPolicy symlinks) {
  switch (symlinks) {
    case SymlinkPolicy::kDeny:
      return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    case SymlinkPolicy::kInside:
      return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    case SymlinkPolicy::kFollow:
      break;
  }
  return RESOLVE_NO_MAGICLINKS;
}

/// One request's look at a root.
class Finder {
 public:
  Finder(const CgiArgs& args, UniqueFd root, ScriptLook look)
      : args_(args), root_(std::move(root)), look_(look) {}

  Result<FoundScript> find(std::string_view path) const {
    if (path.ends_with('/')) {
      if (auto index = indexOf(path); index || index.error().code != ErrorCode::kNotFound) {
        return index;
      }
    }
    for (std::size_t count = 1;; ++count) {
      auto place = scriptPlace(path, count);
      if (!place) break;
      if (isHidden(place->script)) return missing();
      const auto kind = kindOf(place->script);
      if (!kind) return kind.error();
      if (*kind == Kind::kScript) {
        return FoundScript{std::move(place->script), std::move(place->pathInfo), false};
      }
      if (*kind != Kind::kFolder) return missing();
      if (place->pathInfo.empty()) return FoundScript{{}, {}, true};
    }
    return path.empty() ? Result<FoundScript>(FoundScript{{}, {}, true}) : missing();
  }

 private:
  enum class Kind { kScript, kFolder, kOther };

  static Error missing() { return {ErrorCode::kNotFound, "no such script"}; }
  /// Its last segment; those before it have been looked at.
  bool isHidden(std::string_view script) const {
    return !args_.hidden && script.substr(script.rfind('/') + 1).starts_with('.');
  }

  Result<Kind> kindOf(const std::string& relative) const {
    auto opened = lookAt(root_.get(), relative.c_str(), policyOf(args_.symlinks), look_);
    if (!opened) return opened.error();
    struct stat status {};
    if (::fstat(opened->get(), &status) != 0) return errnoError("look at a script", errno);
    if (S_ISDIR(status.st_mode)) return Kind::kFolder;
    const bool executable = S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0;
    return executable ? Kind::kScript : Kind::kOther;
  }

  /// `path` names a folder, with its slash.
  Result<FoundScript> indexOf(std::string_view path) const {
    for (const std::string& name : args_.index) {
      const std::string relative = std::string(path.substr(1)) + name;
      const auto kind = kindOf(relative);
      if (kind && *kind == Kind::kScript) return FoundScript{relative, {}, false};
      if (!kind && kind.error().code != ErrorCode::kNotFound) return kind.error();
    }
    return missing();
  }

  const CgiArgs& args_;
  const UniqueFd root_;
  const ScriptLook look_;
};

}  // namespace

Result<FoundScript> findScript(const CgiArgs& args, std::string_view path, ScriptLook look) {
  auto root = lookAt(AT_FDCWD, args.root.c_str(), 0, look);
  if (!root) return root.error();
  return Finder(args, std::move(*root), look).find(path);
}

}  // namespace egalaxyd
