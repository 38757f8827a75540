#include "master/launcher/script_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/write_all.h"
#include "common/shared/script_names.h"
#include "master/launcher/hidden_folders.h"
#include "master/launcher/script_check.h"

namespace egalaxyd {
namespace {

constexpr int kErrorsPipeBytes = 4096;
constexpr rlim_t kDescriptors = 256;
constexpr int kNicer = 5;
constexpr std::string_view kKilledBeforeOthers = "500";
constexpr rlim_t kCpuGrace = 5;  // seconds between SIGXCPU and SIGKILL
constexpr int kTextBusyTries = 3;
constexpr timespec kTextBusyPause{0, 10'000'000};
constexpr std::size_t kMostReport = 1024;
constexpr int kNotStarted = 127;
/// RLIMIT_RTTIME above this is a tag: a limit that is there, is inherited, can only be lowered, and
/// means nothing to processes without real-time priority.
constexpr rlim_t kTagBase = rlim_t{1} << 40;

struct ReadAndWriteEnd {
  UniqueFd read;
  UniqueFd write;
};

/// Made by the account of the script, which may open it anew as /dev/stdout therefore.
Result<ReadAndWriteEnd> makePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errnoError("make a pipe", errno);
  ReadAndWriteEnd pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return errnoError("make a pipe", errno);
  return pipe;
}

void limit(int resource, rlim_t most, rlim_t hard) {
  const rlimit value{most, hard};
  // Where less is allowed already, that stays.
  ::setrlimit(static_cast<__rlimit_resource>(resource), &value);
}

/// All but 0, 1, 2 and `kept`; -1 is none.
void closeAllBut(std::array<int, 5> kept) {
  std::ranges::sort(kept);
  int next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < next) continue;
    if (fd > next) ::close_range(static_cast<unsigned>(next), static_cast<unsigned>(fd) - 1, 0);
    next = fd + 1;
  }
  ::close_range(static_cast<unsigned>(next), ~0U, 0);
}

/// What this process has of its launcher's and no script is to have.
void leaveLauncher(pid_t launcher, std::uint64_t tag, const std::array<int, 5>& kept) {
  // First of all: whoever inherits this process, dead or alive, is to know what it is.
  limit(RLIMIT_RTTIME, kTagBase + tag, kTagBase + tag);
  ::setsid();
  // The launcher's death ends it; it may have died before this.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(kNotStarted);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(S_IWGRP | S_IWOTH);
  // Once others of its account may look into it, one could take the channels.
  closeAllBut(kept);
  ::prctl(PR_SET_DUMPABLE, 1);  // or it could not write to its own files in /proc
}

/// What is refused here (a container may) leaves the script as it was.
void limitResources(const ScriptOrder& order) {
  limit(RLIMIT_CORE, 0, 0);
  const rlim_t cpu = order.mount.cpuSeconds;
  if (cpu != 0) limit(RLIMIT_CPU, cpu, cpu + kCpuGrace);
  if (::nice(kNicer) == -1) errno = 0;
  const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  writeAll(score.get(), kKilledBeforeOthers);
}

Result<void> enterFolder(const ScriptMount& mount, const std::string& path) {
  const std::string folder =
      mount.folder.empty() ? std::filesystem::path(path).parent_path().string() : mount.folder;
  if (::chdir(folder.c_str()) == 0) return {};
  return Error{ErrorCode::kIo, errnoError("cannot enter " + folder, errno).message};
}

Result<void> takeStandardInput(const ScriptOrder& order) {
  const std::string& body = order.ask.body;
  const UniqueFd input(
      body.empty() ? ::open("/dev/null", O_RDONLY | O_CLOEXEC)
                   : ::openat(order.spool, body.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!input || ::fstat(input.get(), &status) != 0) {
    return Error{ErrorCode::kIo, errnoError("open the body", errno).message};
  }
  if (!body.empty() && !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kIo, "the body is no regular file"};
  }
  if (::dup2(input.get(), STDIN_FILENO) < 0) return errnoError("take the body", errno);
  return {};
}

/// The body is in a folder that is hidden, and may be opened anew nevertheless, as /dev/stdin.
Result<void> hideOthers(const ScriptOrder& order) {
  if (order.ask.body.empty()) return enterRuleset(order.ruleset);
  const auto ruleset = hideFolders(order.hidden);
  if (!ruleset) return ruleset.error();
  showFile(ruleset->get(), STDIN_FILENO);
  return enterRuleset(ruleset->get());
}

/// "NAME=value"; those of the configuration replace none of ours.
std::vector<std::string> environmentOf(const ScriptOrder& order) {
  std::map<std::string_view, std::string_view> variables{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                         {"LANG", "C.UTF-8"},
                                                         {"HOME", order.account.home},
                                                         {"USER", order.account.user},
                                                         {"LOGNAME", order.account.user}};
  for (const auto& [place, value] : order.ask.variables) {
    variables.emplace(kScriptVariables[place], value);
  }
  for (const auto& [name, value] : order.mount.environment) variables.emplace(name, value);
  std::vector<std::string> environment;
  environment.reserve(variables.size());
  for (const auto& [name, value] : variables) {
    environment.push_back(std::string(name) + "=" + std::string(value));
  }
  return environment;
}

std::vector<char*> pointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// What execve(2) gets. Made before the fork: the new process would have to copy each page of
/// memory that it writes to.
class Invocation {
 public:
  explicit Invocation(const ScriptOrder& order)
      : arguments_{{}}, environment_(environmentOf(order)), envp_(pointersTo(environment_)) {
    if (!order.ask.script.empty()) return;
    const auto& more = order.mount.arguments;
    arguments_.insert(arguments_.end(), more.begin(), more.end());
  }
  /// Returns only when it fails.
  Error execute(const std::string& path) {
    arguments_.front() = path;
    const std::vector<char*> argv = pointersTo(arguments_);
    for (int tries = 0;; ++tries) {
      ::execve(path.c_str(), argv.data(), envp_.data());
      if (errno != ETXTBSY || tries == kTextBusyTries) return whyNotRun(path, errno);
      ::nanosleep(&kTextBusyPause, nullptr);  // somebody has not finished writing it
    }
  }

 private:
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> envp_;
};

/// Returns only when it fails.
Error becomeScript(const ScriptOrder& order, Invocation& program, int output, int errors) {
  limitResources(order);
  const auto path = findScript(order.mount, order.ask.script);
  if (!path) return path.error();
  if (auto entered = enterFolder(order.mount, *path); !entered) return entered.error();
  if (auto taken = takeStandardInput(order); !taken) return taken.error();
  if (::dup2(output, STDOUT_FILENO) < 0 || ::dup2(errors, STDERR_FILENO) < 0) {
    return errnoError("take the pipes", errno);
  }
  if (order.ruleset >= 0) {
    if (auto entered = hideOthers(order); !entered) return entered.error();
  }
  if (::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return errnoError("close descriptors", errno);
  }
  limit(RLIMIT_NOFILE, kDescriptors, kDescriptors);  // the launcher may have had more
  return program.execute(*path);
}

WhyNot whyNoScript(ErrorCode code) {
  if (code == ErrorCode::kNotFound) return WhyNot::kGone;
  return code == ErrorCode::kNoSpace ? WhyNot::kNoResource : WhyNot::kCannotRun;
}

/// As fork(2), but the child begins with all signals blocked: one that is meant for the script must
/// not meet what the launcher does with it.
pid_t forkBlocked() {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid != 0) ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return pid;
}

/// RLIM_INFINITY also where nobody can tell.
rlim_t hardRealtimeLimit(pid_t pid) {
  // prlimit(2) would not tell root without its capabilities of another account's process.
  std::ifstream limits("/proc/" + std::to_string(pid) + "/limits");
  constexpr std::string_view kName = "Max realtime timeout";
  for (std::string line; std::getline(limits, line);) {
    if (!line.starts_with(kName)) continue;
    std::istringstream values(line.substr(kName.size()));
    std::string soft;  // may be "unlimited"
    rlim_t hard = 0;
    return values >> soft >> hard ? hard : RLIM_INFINITY;
  }
  return RLIM_INFINITY;
}

[[noreturn]] void beScript(const ScriptOrder& order, Invocation& program, pid_t launcher,
                           int output, int errors, int report) {
  leaveLauncher(launcher, order.tag, {output, errors, report, order.spool, order.ruleset});
  Error error{ErrorCode::kNoSpace, "out of memory"};
  try {
    error = becomeScript(order, program, output, errors);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): out of memory it is
  }
  std::string text(1, static_cast<char>(whyNoScript(error.code)));
  writeAll(report, text.append(error.message, 0, kMostReport));
  ::_exit(kNotStarted);
}

}  // namespace

OwnAccount OwnAccount::own() {
  const passwd* entry = ::getpwuid(::geteuid());
  if (entry == nullptr) return {std::to_string(::geteuid()), "/"};
  return {entry->pw_name, entry->pw_dir};
}

Result<ForkedScript> forkScript(const ScriptOrder& order) {
  auto output = makePipe();
  if (!output) return output.error();
  auto errors = makePipe();
  if (!errors) return errors.error();
  auto report = makePipe();
  if (!report) return report.error();
  ::fcntl(errors->write.get(), F_SETPIPE_SZ, kErrorsPipeBytes);
  Invocation program(order);
  const pid_t launcher = ::getpid();
  const pid_t pid = forkBlocked();
  if (pid < 0) return errnoError("fork", errno);
  if (pid == 0) {
    beScript(order, program, launcher, output->write.get(), errors->write.get(),
             report->write.get());
  }
  return ForkedScript{pid, std::move(output->read), std::move(errors->read),
                      std::move(report->read)};
}

std::optional<StartFailure> readStartFailure(int report) {
  std::array<char, 1 + kMostReport> bytes;
  const ssize_t got = ::read(report, bytes.data(), bytes.size());
  if (got <= 0) return std::nullopt;
  return StartFailure{static_cast<WhyNot>(bytes[0]),
                      std::string(bytes.data() + 1, static_cast<std::size_t>(got) - 1)};
}

std::uint64_t tagOf(pid_t pid) {
  const rlim_t limit = hardRealtimeLimit(pid);
  return limit > kTagBase && limit != RLIM_INFINITY ? limit - kTagBase : 0;
}

bool isOfScript(pid_t pid) {
  rlimit own{};
  return ::getrlimit(RLIMIT_RTTIME, &own) == 0 && hardRealtimeLimit(pid) < own.rlim_max;
}

}  // namespace egalaxyd
