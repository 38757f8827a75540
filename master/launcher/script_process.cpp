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
#include "common/loop/signal_source.h"
#include "common/shared/script_names.h"
#include "master/launcher/hidden_folders.h"
#include "master/launcher/script_check.h"

namespace egalaxyd {
namespace {

constexpr int kErrorsPipeBytes = 4096;
constexpr rlim_t kDescriptors = 256;
constexpr int kNicer = 5;
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

/// What this process has of its launcher's and no script is to have.
void leaveLauncher(pid_t launcher, std::uint64_t tag) {
  // First of all: whoever inherits this process, dead or alive, is to know what it is.
  limit(RLIMIT_RTTIME, kTagBase + tag, kTagBase + tag);
  ::setsid();
  // The launcher's death ends it; it may have died before this.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(kNotStarted);
  for (const int signal : kIgnoredSignals) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// What is refused here (a container may) leaves the script as it was.
void limitResources(const ScriptOrder& order) {
  const rlim_t cpu = order.mount.cpuSeconds;
  if (cpu != 0) limit(RLIMIT_CPU, cpu, cpu + kCpuGrace);
  ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + kNicer);
}

/// Without a body it is the launcher's: /dev/null.
Result<void> takeStandardInput(const ScriptOrder& order) {
  const std::string& body = order.ask.body;
  if (body.empty()) return {};
  const UniqueFd input(::openat(order.spool, body.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!input || ::fstat(input.get(), &status) != 0) {
    return Error{ErrorCode::kIo, errnoError("open the body", errno).message};
  }
  if (!S_ISREG(status.st_mode)) {
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

/// "NAME=value" and NUL, one after the other; those of the configuration replace none of ours.
std::string environmentOf(const ScriptOrder& order) {
  std::map<std::string_view, std::string_view> variables{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                         {"LANG", "C.UTF-8"},
                                                         {"HOME", order.account.home},
                                                         {"USER", order.account.user},
                                                         {"LOGNAME", order.account.user}};
  for (const auto& [place, value] : order.ask.variables) {
    variables.emplace(kScriptVariables[place], value);
  }
  for (const auto& [name, value] : order.mount.environment) variables.emplace(name, value);
  std::string environment;
  for (const auto& [name, value] : variables) {
    environment.append(name).append(1, '=').append(value).append(1, '\0');
  }
  return environment;
}

/// To each text of `texts`, which NUL ends; and nullptr.
std::vector<char*> pointersInto(std::string& texts) {
  std::vector<char*> pointers;
  for (std::size_t at = 0; at < texts.size(); at = texts.find('\0', at) + 1) {
    pointers.push_back(texts.data() + at);
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<char*> pointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// All that the new process needs memory for. Made before the fork: each page that either process
/// writes to afterwards is copied first, which is why this is in few pieces.
class Invocation {
 public:
  explicit Invocation(const ScriptOrder& order)
      : mount_(order.mount),
        place_(spotOf(order.mount, order.ask.script)),
        folder_(folderOf(order.mount, place_.path)),
        arguments_{place_.path},
        environment_(environmentOf(order)),
        envp_(pointersInto(environment_)) {
    const auto& more = order.mount.arguments;
    if (order.ask.script.empty()) arguments_.insert(arguments_.end(), more.begin(), more.end());
    argv_ = pointersTo(arguments_);
  }
  Result<void> check() const { return checkScript(mount_, place_); }
  Result<void> enterFolder() const {
    if (::chdir(folder_.c_str()) == 0) return {};
    return Error{ErrorCode::kIo, errnoError("cannot enter " + folder_, errno).message};
  }
  /// Returns only when it fails.
  Error execute() const {
    for (int tries = 0;; ++tries) {
      ::execve(place_.path.c_str(), argv_.data(), envp_.data());
      if (errno != ETXTBSY || tries == kTextBusyTries) return whyNotRun(place_.path, errno);
      ::nanosleep(&kTextBusyPause, nullptr);  // somebody has not finished writing it
    }
  }

 private:
  static std::string folderOf(const ScriptMount& mount, const std::string& path) {
    return mount.folder.empty() ? std::filesystem::path(path).parent_path().string() : mount.folder;
  }

  const ScriptMount& mount_;
  const ScriptSpot place_;
  const std::string folder_;
  std::vector<std::string> arguments_;
  std::string environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
};

/// Returns only when it fails.
Error becomeScript(const ScriptOrder& order, const Invocation& program, int output, int errors) {
  limitResources(order);
  if (auto fit = program.check(); !fit) return fit.error();
  if (auto entered = program.enterFolder(); !entered) return entered.error();
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
  return program.execute();
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

[[noreturn]] void beScript(const ScriptOrder& order, const Invocation& program, pid_t launcher,
                           int output, int errors, int report) {
  leaveLauncher(launcher, order.tag);
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
  const Invocation program(order);
  order.ask.variables = {};  // not after the fork, see Invocation
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
