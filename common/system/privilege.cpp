#include "common/system/privilege.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

constexpr const char* kDefaultUser = "egalaxyd";
constexpr const char* kFallbackUser = "nobody";

/// What a root master does after its start, a reload included.
constexpr unsigned kMasterCapabilities[] = {
    CAP_NET_BIND_SERVICE,  // binds ports below 1024
    CAP_SETUID,            // forks workers of another account
    CAP_SETGID,            // likewise
    CAP_SETPCAP,           // takes their bounding set away
    CAP_KILL,              // ends those that hang
    CAP_CHOWN,             // gives the control socket and db/ to a group and an account
    CAP_DAC_OVERRIDE,      // keys, roots and logs in folders of other accounts
};

Error noSuch(std::string_view what, const std::string& name) {
  return {ErrorCode::kNotFound,
          "there is no " + std::string(what) + " \"" + name + "\" on this machine"};
}

/// Whether getpwnam(3) or getgrnam(3) failed to look, with this errno; any other says that there is
/// no such name. To confuse them would leave workers root because a descriptor was missing.
bool couldNotLook(int why) {
  return why == EMFILE || why == ENFILE || why == ENOMEM || why == EIO || why == EINTR ||
         why == EACCES || why == ERANGE;
}

/// nullptr: there is none.
Result<const passwd*> lookUp(const char* name) {
  errno = 0;
  const passwd* entry = ::getpwnam(name);
  if (entry == nullptr && couldNotLook(errno)) {
    return errnoError(std::string("look up account ") + name, errno);
  }
  return entry;
}

Result<const passwd*> lookUpUnsaid(bool& isFallback) {
  auto entry = lookUp(kDefaultUser);
  if (!entry) return entry;
  isFallback = *entry == nullptr;
  if (isFallback) entry = lookUp(kFallbackUser);
  if (!entry) return entry;
  if (*entry == nullptr || (*entry)->pw_uid == 0) {
    return Error{ErrorCode::kPermission,
                 "started as root, but there is no account for the workers, neither egalaxyd nor "
                 "nobody: make one (useradd --system egalaxyd), name another with server.user, or "
                 "say server.user = \"root\""};
  }
  return entry;
}

using CapabilityWords = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

Result<CapabilityWords> heldCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  CapabilityWords held{};
  if (::syscall(SYS_capget, &header, held.data()) != 0) {
    return errnoError("read the own capabilities", errno);
  }
  return held;
}

bool isIn(std::uint64_t set, unsigned capability) { return ((set >> capability) & 1U) != 0; }

/// Drops every capability but `kept` from the bounding set (PR_CAPBSET_DROP). Without CAP_SETPCAP
/// the set stays as it is; an account that is not root and has PR_SET_NO_NEW_PRIVS gains nothing by
/// it.
Result<void> limitBoundingSet(std::uint64_t kept) {
  for (unsigned each = 0; each < 64; ++each) {
    const int there = ::prctl(PR_CAPBSET_READ, each, 0, 0, 0);
    if (there < 0) return {};  // this kernel knows no more
    if (there == 0 || isIn(kept, each)) continue;
    if (::prctl(PR_CAPBSET_DROP, each, 0, 0, 0) == 0) continue;
    if (errno == EPERM) return {};
    return errnoError("limit capabilities", errno);
  }
  return {};
}

/// Gives up all capabilities but `kept`, which are in force, and `spare`, which are permitted only.
Result<void> limitCapabilities(std::uint64_t kept, std::uint64_t spare = 0) {
  auto held = heldCapabilities();
  if (!held) return held.error();
  // With nothing to give up, capset(2) is not called: a unit's SystemCallFilter= may deny it.
  if (std::ranges::all_of(*held, [](const auto& some) { return some.permitted == 0; })) return {};
  for (std::size_t word = 0; word < held->size(); ++word) {
    auto& some = (*held)[word];
    some.permitted &= static_cast<std::uint32_t>((kept | spare) >> (32 * word));
    some.effective = some.permitted & static_cast<std::uint32_t>(kept >> (32 * word));
    some.inheritable = 0;
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  if (::syscall(SYS_capset, &header, held->data()) != 0) {
    return errnoError("give up capabilities", errno);
  }
  return {};
}

/// Whether this process may attach a filter to a socket, as refuseNewcomers() does at a stop.
bool mayFilter() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sock_filter everything = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
  const sock_fprog filter{1, &everything};
  return ::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

Result<void> become(const Account& account) {
  if (::initgroups(account.user.c_str(), account.gid) != 0) {
    return errnoError("take the groups of " + account.user, errno);
  }
  if (::setresgid(account.gid, account.gid, account.gid) != 0) {
    return errnoError("become the group of " + account.user, errno);
  }
  if (::setresuid(account.uid, account.uid, account.uid) != 0) {
    return errnoError("become " + account.user, errno);
  }
  if (::setuid(0) == 0 || ::setgid(0) == 0) {
    return Error{ErrorCode::kPermission, "root could be regained after becoming " + account.user};
  }
  return {};
}

}  // namespace

Result<std::optional<Account>> accountNamed(const std::string& name) {
  const auto entry = lookUp(name.c_str());
  if (!entry) return entry.error();
  if (*entry == nullptr) return std::optional<Account>();
  return std::optional(
      Account{(*entry)->pw_name, (*entry)->pw_uid, (*entry)->pw_gid, false, false});
}

Account accountOf(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  if (entry == nullptr) return {std::to_string(uid), uid, ::getegid(), false, false};
  return {entry->pw_name, uid, entry->pw_gid, false, false};
}

Result<std::optional<Account>> workerAccount(const std::string& user, const std::string& group) {
  if (::geteuid() != 0) return std::optional<Account>();
  bool isFallback = false;
  const auto found = user.empty() ? lookUpUnsaid(isFallback) : lookUp(user.c_str());
  if (!found) return found.error();
  const passwd* entry = *found;
  if (entry == nullptr) return noSuch("account", user);
  if (entry->pw_uid == 0) return std::optional<Account>();
  Account account{entry->pw_name, entry->pw_uid, entry->pw_gid, isFallback, isFallback};
  if (!group.empty()) {
    errno = 0;
    const ::group* named = ::getgrnam(group.c_str());
    if (named == nullptr && couldNotLook(errno)) {
      return errnoError("look up group " + group, errno);
    }
    if (named == nullptr) return noSuch("group", group);
    account.gid = named->gr_gid;
    account.isGroupFallback = false;
  }
  return std::optional(std::move(account));
}

std::optional<Account> controlOwner(std::optional<Account> account) {
  if (account && account->isGroupFallback) account->gid = ::getegid();
  return account;
}

Result<void> dropPrivileges(const std::optional<Account>& account) {
  if (auto limited = limitBoundingSet(0); !limited) return limited;
  if (account) {
    if (auto became = become(*account); !became) return became;
  }
  if (auto dropped = limitCapabilities(0); !dropped) return dropped;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errnoError("no_new_privs", errno);
  return {};
}

Result<void> denyTracing() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errnoError("deny tracing", errno);
  return {};
}

Result<void> keepMasterCapabilities() {
  if (::geteuid() != 0) return {};
  std::uint64_t kept = 0;
  for (const unsigned each : kMasterCapabilities) kept |= std::uint64_t{1} << each;
  // Hardened kernels let only CAP_NET_ADMIN attach a filter.
  constexpr std::uint64_t kNetAdmin = std::uint64_t{1} << CAP_NET_ADMIN;
  if (auto limited = limitCapabilities(kept, kNetAdmin); !limited) return limited;
  if (!mayFilter()) kept |= kNetAdmin;
  if (auto limited = limitBoundingSet(kept); !limited) return limited;
  return limitCapabilities(kept);
}

}  // namespace egalaxyd
