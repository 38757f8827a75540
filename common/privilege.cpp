#include "common/privilege.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/errno_error.h"

namespace egalaxyd {
namespace {

constexpr const char* kDefaultUser = "egalaxyd";

Error noSuch(std::string_view what, const std::string& name) {
  return {ErrorCode::kNotFound,
          "there is no " + std::string(what) + " \"" + name + "\" on this machine"};
}

/// After getpwnam(3) gave nothing: it says "there is none" in several ways, and these are not among
/// them. Workers must not stay root because a descriptor was missing.
bool couldNotLook(int why) {
  return why == EMFILE || why == ENFILE || why == ENOMEM || why == EIO || why == EINTR ||
         why == EACCES || why == ERANGE;
}

}  // namespace

Result<std::optional<Account>> workerAccount(const std::string& user, const std::string& group) {
  if (::geteuid() != 0) return std::optional<Account>();
  const char* name = user.empty() ? kDefaultUser : user.c_str();
  errno = 0;
  const passwd* entry = ::getpwnam(name);
  if (entry == nullptr) {
    if (couldNotLook(errno)) return errnoError(std::string("look up account ") + name, errno);
    if (user.empty()) return std::optional<Account>();
    return noSuch("account", user);
  }
  if (entry->pw_uid == 0) return std::optional<Account>();
  Account account{entry->pw_name, entry->pw_uid, entry->pw_gid};
  if (!group.empty()) {
    errno = 0;
    const ::group* named = ::getgrnam(group.c_str());
    if (named == nullptr && couldNotLook(errno)) {
      return errnoError("look up group " + group, errno);
    }
    if (named == nullptr) return noSuch("group", group);
    account.gid = named->gr_gid;
  }
  return std::optional(std::move(account));
}

Result<void> dropPrivileges(const Account& account) {
  if (::initgroups(account.user.c_str(), account.gid) != 0) {
    return errnoError("take the groups of " + account.user, errno);
  }
  if (::setresgid(account.gid, account.gid, account.gid) != 0) {
    return errnoError("become the group of " + account.user, errno);
  }
  if (::setresuid(account.uid, account.uid, account.uid) != 0) {
    return errnoError("become " + account.user, errno);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errnoError("no_new_privs", errno);
  if (::setuid(0) == 0 || ::setgid(0) == 0) {
    return Error{ErrorCode::kPermission, "root could be regained after becoming " + account.user};
  }
  return {};
}

Result<void> dropCapabilities() {
  if (::geteuid() == 0) return {};
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> held{};
  if (::syscall(SYS_capget, &header, held.data()) != 0) {
    return errnoError("read the own capabilities", errno);
  }
  // Where there is nothing to give up, a unit's filter need not allow to.
  if (std::ranges::all_of(held, [](const auto& some) { return some.permitted == 0; })) return {};
  held = {};
  if (::syscall(SYS_capset, &header, held.data()) != 0) {
    return errnoError("give up capabilities", errno);
  }
  return {};
}

Result<void> denyTracing() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errnoError("deny tracing", errno);
  return {};
}

}  // namespace egalaxyd
