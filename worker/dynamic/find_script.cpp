#include "worker/dynamic/find_script.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/unique_fd.h"
#include "common/file/real_path.h"
#include "worker/dynamic/script_path.h"

namespace egalaxyd {
namespace {

// A rename anywhere in the system may disturb the resolution of "..": openat2 gives EAGAIN then.
constexpr int kMostDisturbed = 100;

/// With O_PATH; empty with errno.
UniqueFd lookAt(int folder, const std::string& path, std::uint64_t resolve, ScriptLook look) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve | (look == ScriptLook::kCached ? RESOLVE_CACHED : 0);
  for (int disturbances = 0; disturbances < kMostDisturbed; ++disturbances) {
    const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno == EINTR) continue;
    if (errno == EAGAIN && look == ScriptLook::kWaiting) continue;
    break;
  }
  return {};
}

Error missing() { return {ErrorCode::kNotFound, "no such script"}; }
Error noProgram() { return {ErrorCode::kPermission, "it is not executable (chmod +x)"}; }

/// What errno means. EINVAL: kernels before 5.12 do not know RESOLVE_CACHED.
Error whyNotSeen(ScriptLook look) {
  if (errno == EAGAIN || (errno == EINVAL && look == ScriptLook::kCached))
    return {ErrorCode::kBusy, "not in memory"};
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) return errnoError("look", errno);
  // Missing, a link out of the root, closed to this account: it is not there.
  return missing();
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
  Finder(const CgiArgs& args, UniqueFd root, std::string_view suffix, ScriptLook look)
      : args_(args), root_(std::move(root)), suffix_(suffix), look_(look) {}

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
      auto script = scriptAt(place->script + suffix_);
      if (script) script->pathInfo = std::move(place->pathInfo);
      if (script || script.error().code != ErrorCode::kNotFound) return script;
      const auto kind = kindOf(place->script);
      if (!kind) return kind.error();
      if (*kind == Kind::kOther) return noProgram();
      if (*kind != Kind::kFolder) return missing();
      if (place->pathInfo.empty()) return FoundScript{{}, {}, true};
    }
    return path.empty() ? Result<FoundScript>(FoundScript{{}, {}, true}) : missing();
  }

 private:
  enum class Kind { kScript, kFolder, kOther };

  /// Its last segment; those before it have been looked at.
  bool isHidden(std::string_view script) const {
    return !args_.hidden && script.substr(script.rfind('/') + 1).starts_with('.');
  }

  Result<UniqueFd> look(const std::string& relative) const {
    UniqueFd file = lookAt(root_.get(), relative, policyOf(args_.symlinks), look_);
    if (file) return file;
    if (errno != EXDEV || args_.symlinks != SymlinkPolicy::kInside) return whyNotSeen(look_);
    // Of any absolute link, even one that leads back inside.
    if (look_ == ScriptLook::kCached) return Error{ErrorCode::kBusy, "perhaps not in memory"};
    return lookThroughLinks(relative);
  }

  /// As SiteRoot::openThroughLinks.
  Result<UniqueFd> lookThroughLinks(const std::string& relative) const {
    const UniqueFd target = lookAt(root_.get(), relative, RESOLVE_NO_MAGICLINKS, look_);
    if (!target) return whyNotSeen(look_);
    const auto root = realPathOf(root_.get());
    const auto place = realPathOf(target.get());
    const auto inside = root && place ? pathBelow(*root, *place) : std::nullopt;
    if (!inside) return missing();
    UniqueFd file = lookAt(root_.get(), *inside, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, look_);
    return file ? Result<UniqueFd>(std::move(file)) : whyNotSeen(look_);
  }

  Result<Kind> kindOf(const std::string& relative) const {
    auto opened = look(relative);
    if (!opened) return opened.error();
    struct stat status {};
    if (::fstat(opened->get(), &status) != 0) return errnoError("look at a script", errno);
    if (S_ISDIR(status.st_mode)) return Kind::kFolder;
    const bool executable = S_ISREG(status.st_mode) && (status.st_mode & 0111) != 0;
    return executable ? Kind::kScript : Kind::kOther;
  }

  Result<FoundScript> scriptAt(std::string relative) const {
    const auto kind = kindOf(relative);
    if (!kind) return kind.error();
    if (*kind != Kind::kScript) return missing();
    return FoundScript{std::move(relative), {}, false};
  }

  /// `path` names a folder, with its slash.
  Result<FoundScript> indexOf(std::string_view path) const {
    for (const std::string& name : args_.index) {
      auto script = scriptAt(std::string(path.substr(1)) + name + suffix_);
      if (script || script.error().code != ErrorCode::kNotFound) return script;
    }
    return missing();
  }

  const CgiArgs& args_;
  const UniqueFd root_;
  const std::string suffix_;
  const ScriptLook look_;
};

}  // namespace

Result<FoundScript> findScript(const std::filesystem::path& root, const CgiArgs& args,
                               std::string_view path, std::string_view suffix, ScriptLook look) {
  UniqueFd folder = lookAt(AT_FDCWD, root, 0, look);
  if (!folder) return whyNotSeen(look);
  return Finder(args, std::move(folder), suffix, look).find(path);
}

}  // namespace egalaxyd
