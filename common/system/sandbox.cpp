#include "common/system/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <system_error>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/system/privilege.h"

namespace egalaxyd {
namespace {

#ifdef EGALAXYD_SANITIZED
constexpr bool kSanitizerBuild = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitizerBuild = true;
#else
constexpr bool kSanitizerBuild = false;
#endif
#else
constexpr bool kSanitizerBuild = false;
#endif

// --- Landlock -------------------------------------------------------------------------------
// Debian 12's headers end at ABI 2; the rest is from the kernel's user-space API.

constexpr std::uint64_t kFsTruncate = 1ULL << 14;             // ABI 3
constexpr std::uint64_t kNetTcp = (1ULL << 0) | (1ULL << 1);  // ABI 4: bind, connect
constexpr std::uint64_t kFsDeviceIoctl = 1ULL << 15;          // ABI 5
constexpr std::uint64_t kScopes = (1ULL << 0) | (1ULL << 1);  // ABI 6: abstract sockets, signals

constexpr std::uint64_t kFsAbi1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kReadWrite =
    kRead | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_REFER | kFsTruncate;
/// What a rule for something that is not a folder may name.
constexpr std::uint64_t kFileOnly =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kFsTruncate;

constexpr std::uint64_t kConnectTcp = 1ULL << 1;
constexpr int kRuleNetPort = 2;  // LANDLOCK_RULE_NET_PORT

struct PortRule {
  std::uint64_t access;
  std::uint64_t port;
};

/// As the kernel knows it; one that knows fewer fields wants the others to be zero.
struct RulesetAttributes {
  std::uint64_t fs;
  std::uint64_t net;
  std::uint64_t scoped;
};

RulesetAttributes handledBy(long abi) {
  RulesetAttributes handled{kFsAbi1, 0, 0};
  if (abi >= 2) handled.fs |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) handled.fs |= kFsTruncate;
  if (abi >= 4) handled.net = kNetTcp;
  if (abi >= 5) handled.fs |= kFsDeviceIoctl;
  if (abi >= 6) handled.scoped = kScopes;
  return handled;
}

Result<void> allow(int ruleset, const std::filesystem::path& path, std::uint64_t access) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  // What is not there, or out of reach anyway, needs no rule.
  if (!fd && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) return {};
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errnoError("open " + path.string(), errno);
  if (!S_ISDIR(status.st_mode)) access &= kFileOnly;
  const landlock_path_beneath_attr rule{.allowed_access = access, .parent_fd = fd.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return errnoError("rule for " + path.string(), errno);
  }
  return {};
}

Result<void> allowAll(int ruleset, const SandboxRules& rules, std::uint64_t handled) {
  for (const auto& path : rules.readable) {
    if (auto done = allow(ruleset, path, kRead & handled); !done) return done;
  }
  for (const auto& path : rules.writable) {
    if (auto done = allow(ruleset, path, kReadWrite & handled); !done) return done;
  }
  if constexpr (kSanitizerBuild) {  // for the leak check at exit and for names in reports
    for (const char* path : {"/proc", "/usr", "/lib"}) {
      if (auto done = allow(ruleset, path, kRead); !done) return done;
    }
  }
  return {};
}

Result<void> allowPorts(int ruleset, const OutgoingRules& outgoing) {
  for (const std::uint16_t port : outgoing.ports) {
    const PortRule rule{kConnectTcp, port};
    if (::syscall(SYS_landlock_add_rule, ruleset, kRuleNetPort, &rule, 0) != 0) {
      return errnoError(fmt::format("rule for port {}", port), errno);
    }
  }
  return {};
}

Result<std::string> enterLandlock(const SandboxRules& rules, long newestAbi) {
  const long abi =
      std::min(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION),
               newestAbi);
  if (abi < 1) return Error{ErrorCode::kPermission, "no landlock: the kernel does not offer it"};
  const RulesetAttributes handled = handledBy(abi);
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0)));
  if (!ruleset) return errnoError("no landlock: ruleset", errno);
  auto done = allowAll(ruleset.get(), rules, handled.fs);
  if (done && rules.outgoing && handled.net != 0) {
    done = allowPorts(ruleset.get(), *rules.outgoing);
  }
  if (!done) {
    return Error{done.error().code, "no landlock: " + done.error().message};
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return errnoError("no landlock: restrict", errno);
  }
  return fmt::format("landlock ABI {}", abi);
}

// --- seccomp --------------------------------------------------------------------------------

// By name, so that one list serves every architecture; a name that libseccomp does not know is
// one that this system's libc does not call. What is missing is missing for a reason: sendmsg(2)
// keeps the address that it sends to in memory, where no filter sees it; fchmod(2), fchown(2) and
// utimensat(2) ask no Landlock.
constexpr const char* kAllowed[] = {
    // files
    "access", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "faccessat",
    "faccessat2", "fadvise64", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate",
    "getcwd", "getdents64", "link", "linkat", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat",
    "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "read",
    "readahead", "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "stat", "statfs", "statx", "sync_file_range", "umask", "unlink", "unlinkat",
    "write", "writev",
    // connections that arrive
    "accept", "accept4", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg",
    // waiting
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "pipe2",
    "poll", "ppoll", "pselect6", "select", "signalfd4", "timerfd_create", "timerfd_gettime",
    "timerfd_settime",
    // memory and threads
    "brk", "futex", "futex_waitv", "get_robust_list", "madvise", "membarrier", "mincore", "mlock",
    "mlock2", "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "rseq",
    "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address",
    // time and chance
    "clock_getres", "clock_gettime", "clock_nanosleep", "getrandom", "gettimeofday", "nanosleep",
    "time", "times",
    // itself
    "exit", "exit_group", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getpid",
    "getppid", "getresgid", "getresuid", "getrlimit", "getrusage", "gettid", "getuid",
    "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack", "sysinfo", "uname"};

struct FreeFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, FreeFilter>;

/// Argument number `index` is `value`; for those of which the kernel takes the low half, an int.
constexpr scmp_arg_cmp isInt(unsigned index, std::uint32_t value) {
  return {index, SCMP_CMP_MASKED_EQ, UINT32_MAX, value};
}
/// Likewise it has no other bits than those of `allowed`.
constexpr scmp_arg_cmp isWithin(unsigned index, std::uint32_t allowed) {
  return {index, SCMP_CMP_MASKED_EQ, ~allowed, 0};
}
constexpr scmp_arg_cmp isNull(unsigned index) { return {index, SCMP_CMP_EQ, 0, 0}; }

/// 0, or a negative errno. Unknown names are left out. Several rules for a name: one has to fit.
int addRule(void* filter, std::uint32_t action, const char* name,
            std::span<const scmp_arg_cmp> arguments = {}) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  return seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(arguments.size()),
                                arguments.data());
}

/// What may be done to a descriptor. Listeners and the log are shared with the master and other
/// workers, so there is nothing here that would have the kernel send signals (F_SETOWN, F_SETSIG,
/// F_SETLEASE, F_NOTIFY), make a listener block (F_SETFL) or keep others out of it.
constexpr std::uint32_t kFcntlCommands[] = {F_DUPFD,     F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,
                                            F_GETFL,     F_GETLK,         F_SETLK,     F_SETLKW,
                                            F_OFD_GETLK, F_OFD_SETLK,     F_OFD_SETLKW};

struct SocketOption {
  int level;
  int name;
};
constexpr SocketOption kSocketOptions[] = {{SOL_SOCKET, SO_LINGER},
                                           {SOL_SOCKET, SO_RCVLOWAT},
                                           {IPPROTO_TCP, TCP_NODELAY},
                                           {IPPROTO_TCP, TCP_QUICKACK}};

constexpr std::uint32_t kIoctls[] = {TCGETS, FIONREAD, TIOCOUTQ};

/// sendto(2) with other flags (MSG_FASTOPEN), or with an address, could make a connection.
constexpr std::uint32_t kSendFlags = MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT;

int addArgumentRules(void* filter) {
  const auto self = static_cast<std::uint32_t>(::getpid());
  struct Rule {
    const char* name;
    std::vector<scmp_arg_cmp> arguments;
  };
  std::vector<Rule> rules{
      // Threads yes, processes no. clone3 hides its flags in memory: libc falls back to clone.
      {"clone", {{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD}}},
      // CLONE_FS gives a thread a umask of its own.
      {"unshare", {isInt(0, CLONE_FS)}},
      {"socketpair", {isInt(0, AF_UNIX)}},
      {"sendto", {isWithin(3, kSendFlags), isNull(4)}},
      // SHUT_RD and SHUT_RDWR would stop a listener in every process that shares it.
      {"shutdown", {isInt(1, SHUT_WR)}},
      // No hole in a log (FALLOC_FL_PUNCH_HOLE), and no overwriting of what it holds
      // (RWF_NOAPPEND).
      {"fallocate", {isInt(1, 0)}},
      {"pwritev2", {isInt(5, 0)}},
      // Signals to itself alone: abort() and crash handlers.
      {"kill", {isInt(0, self)}},
      {"tgkill", {isInt(0, self)}},
      {"prlimit64", {isInt(0, 0)}},
      {"prctl", {isInt(0, PR_SET_NAME)}},
      {"prctl", {isInt(0, PR_GET_NAME)}},
  };
  for (const std::uint32_t command : kFcntlCommands)
    rules.push_back({"fcntl", {isInt(1, command)}});
  for (const std::uint32_t request : kIoctls) rules.push_back({"ioctl", {isInt(1, request)}});
  for (const SocketOption& option : kSocketOptions) {
    rules.push_back({"setsockopt",
                     {isInt(1, static_cast<std::uint32_t>(option.level)),
                      isInt(2, static_cast<std::uint32_t>(option.name))}});
  }
  for (const Rule& rule : rules) {
    const int rc = addRule(filter, SCMP_ACT_ALLOW, rule.name, rule.arguments);
    if (rc != 0) return rc;
  }
  return addRule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3");
}

/// Options of a connection to a database, which are of no use at a listener.
constexpr SocketOption kOutgoingOptions[] = {{SOL_SOCKET, SO_KEEPALIVE},
                                             {IPPROTO_TCP, TCP_KEEPIDLE},
                                             {IPPROTO_TCP, TCP_KEEPINTVL},
                                             {IPPROTO_TCP, TCP_KEEPCNT},
                                             {IPPROTO_TCP, TCP_USER_TIMEOUT}};

int addOutgoingRules(void* filter, const OutgoingRules& outgoing) {
  std::vector<std::uint32_t> families{AF_UNIX};
  if (!outgoing.ports.empty()) families.insert(families.end(), {AF_INET, AF_INET6});
  for (const std::uint32_t family : families) {
    const scmp_arg_cmp stream[]{
        isInt(0, family),
        {1, SCMP_CMP_MASKED_EQ, UINT32_MAX & ~std::uint32_t{SOCK_NONBLOCK | SOCK_CLOEXEC},
         SOCK_STREAM}};
    if (const int rc = addRule(filter, SCMP_ACT_ALLOW, "socket", stream); rc != 0) return rc;
  }
  for (const SocketOption& option : kOutgoingOptions) {
    const scmp_arg_cmp arguments[]{isInt(1, static_cast<std::uint32_t>(option.level)),
                                   isInt(2, static_cast<std::uint32_t>(option.name))};
    if (const int rc = addRule(filter, SCMP_ACT_ALLOW, "setsockopt", arguments); rc != 0) return rc;
  }
  // libpq makes its sockets so; nothing can be made to block.
  const scmp_arg_cmp nonBlocking[]{isInt(1, F_SETFL), isInt(2, O_RDWR | O_NONBLOCK)};
  if (const int rc = addRule(filter, SCMP_ACT_ALLOW, "fcntl", nonBlocking); rc != 0) return rc;
  return addRule(filter, SCMP_ACT_ALLOW, "connect");
}

int addOptionalRules(void* filter, const SandboxRules& rules) {
  if (rules.marksFiles) {
    for (const char* name : {"fgetxattr", "fsetxattr"}) {
      if (const int rc = addRule(filter, SCMP_ACT_ALLOW, name); rc != 0) return rc;
    }
  }
  return rules.outgoing ? addOutgoingRules(filter, *rules.outgoing) : 0;
}

int loadFilter(void* filter, const SandboxRules& rules) {
  for (const char* name : kAllowed) {
    if (const int rc = addRule(filter, SCMP_ACT_ALLOW, name); rc != 0) return rc;
  }
  if (const int rc = addArgumentRules(filter); rc != 0) return rc;
  if (const int rc = addOptionalRules(filter, rules); rc != 0) return rc;
  // Threads that run already are held as well; a tree finds a call's rule sooner than a list.
  if (const int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); rc != 0) return rc;
  if (const int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); rc != 0) return rc;
  return seccomp_load(filter);
}

Result<std::string> enterSeccomp(const SandboxRules& rules) {
  if constexpr (kSanitizerBuild) {
    return Error{ErrorCode::kPermission, "no seccomp: this build has a sanitizer, which forks"};
  }
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return Error{ErrorCode::kNoSpace, "no seccomp: out of memory"};
  if (const int rc = loadFilter(filter.get(), rules); rc != 0) return errnoError("no seccomp", -rc);
  return std::string("seccomp");
}

/// Symbolic links that are followed in one path, as many as the kernel follows.
constexpr int kMaxLinks = 40;

/// Whether it is the home of the account that owns it.
bool isHome(const std::filesystem::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return false;
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(status.st_uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
    return false;
  }
  std::error_code missing;
  return std::filesystem::equivalent(found->pw_dir, folder, missing);
}

}  // namespace

Replacements replacementsOf(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  Replacements found;
  fs::path way;
  fs::path rest = path.has_filename() ? path : path.parent_path();
  for (int links = 0; !rest.empty() && links <= kMaxLinks;) {
    const fs::path part = *rest.begin();
    fs::path behind;
    for (auto next = std::next(rest.begin()); next != rest.end(); ++next) behind /= *next;
    const fs::path here = way / part;
    std::error_code missing;
    const fs::path target = fs::read_symlink(here, missing);
    if (missing) {  // no link
      way = here;
      rest = std::move(behind);
      continue;
    }
    ++links;
    const fs::path whole = (way / target).lexically_normal();
    const fs::path place = fs::weakly_canonical(whole.parent_path(), missing);
    if (place.has_relative_path()) found.behindLinks.push_back(place);
    way = target.is_absolute() ? fs::path() : way;
    rest = behind.empty() ? target : target / behind;
  }
  fs::path around = way.lexically_normal().parent_path();
  if (around.has_relative_path() && !isHome(around)) found.around = std::move(around);
  return found;
}

Result<std::string> enterSandbox(SandboxMode mode, const SandboxRules& rules, long newestAbi) {
  if (mode == SandboxMode::kOff) return std::string("off");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errnoError("no_new_privs", errno);
  if (auto denied = denyTracing(); !denied) return denied.error();
  const auto landlock =
      enterLandlock(rules, newestAbi);  // first: the filter lets no new rules through
  const auto seccomp = enterSeccomp(rules);
  std::vector<std::string> taken;
  std::vector<std::string> missing;
  for (const auto* entered : {&landlock, &seccomp}) {
    if (*entered) {
      taken.push_back(entered->value());
    } else {
      missing.push_back(entered->error().message);
    }
  }
  const std::string without = fmt::format("{}", fmt::join(missing, "; "));
  if (mode == SandboxMode::kRequired && !missing.empty()) {
    return Error{ErrorCode::kPermission, "server.sandbox is \"required\", but there is " + without};
  }
  if (taken.empty()) return without;
  return fmt::format("{}{}{}", fmt::join(taken, ", "), missing.empty() ? "" : "; ", without);
}

}  // namespace egalaxyd
