#include "master/launcher/hidden_folders.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

// Debian 12's headers end at ABI 2; the rest is from the kernel's user-space API.
constexpr std::uint64_t kAllOfAbi1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
constexpr std::uint64_t kTruncate = 1ULL << 14;     // ABI 3
constexpr std::uint64_t kDeviceIoctl = 1ULL << 15;  // ABI 5
constexpr std::uint64_t kSignalScope = 1ULL << 1;   // ABI 6
constexpr std::uint64_t kOfFiles = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                                   LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate | kDeviceIoctl;

struct Handled {
  std::uint64_t files;
  std::uint64_t net;
  std::uint64_t scoped;
};

Handled handledBy(long abi) {
  Handled handled{kAllOfAbi1, 0, 0};
  if (abi >= 2) handled.files |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) handled.files |= kTruncate;
  if (abi >= 5) handled.files |= kDeviceIoctl;
  if (abi >= 6) handled.scoped = kSignalScope;
  return handled;
}

/// Gives `access` to what is at `path` itself: a link gives nothing, its target has a rule of its
/// own or is hidden.
void give(int ruleset, const fs::path& path, std::uint64_t access) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || S_ISLNK(status.st_mode)) return;
  if (!S_ISDIR(status.st_mode)) access &= kOfFiles;
  const landlock_path_beneath_attr rule{.allowed_access = access, .parent_fd = fd.get()};
  ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

bool leadsTo(const fs::path& folder, const fs::path& path) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

/// All in `folder`, which is none of `hidden`, but what is.
void giveAround(int ruleset, const fs::path& folder, const std::vector<fs::path>& hidden,
                std::uint64_t access) {
  std::error_code unreadable;  // what cannot be listed gives nothing
  for (fs::directory_iterator entry(folder, unreadable), end; entry != end;
       entry.increment(unreadable)) {
    const fs::path path = entry->path();
    if (std::ranges::find(hidden, path) != hidden.end()) continue;
    if (std::ranges::any_of(hidden, [&](const fs::path& one) { return leadsTo(path, one); })) {
      giveAround(ruleset, path, hidden, access);
    } else {
      give(ruleset, path, access);
    }
  }
}

}  // namespace

Result<UniqueFd> hideFolders(const std::vector<std::string>& folders) {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return Error{ErrorCode::kPermission, "no landlock: the kernel does not offer it"};
  const Handled handled = handledBy(abi);
  UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
  if (!ruleset) return errnoError("no landlock: ruleset", errno);
  std::vector<fs::path> hidden;
  for (const std::string& folder : folders) {
    std::error_code missing;
    const fs::path real = fs::canonical(folder, missing);
    if (!missing) hidden.push_back(real);
  }
  giveAround(ruleset.get(), "/", hidden, handled.files);
  give(ruleset.get(), "/", LANDLOCK_ACCESS_FS_READ_DIR);
  return ruleset;
}

void showFile(int ruleset, int file) {
  const landlock_path_beneath_attr rule{.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
                                        .parent_fd = file};
  ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

Result<void> enterRuleset(int ruleset) {
  if (::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0) return {};
  return errnoError("landlock", errno);
}

}  // namespace egalaxyd
