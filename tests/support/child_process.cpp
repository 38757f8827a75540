#include "tests/support/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tests/support/temp_dir.h"

extern char** environ;

namespace egalaxyd {
namespace {

std::vector<std::string> childEnvironment(std::map<std::string, std::string> wanted) {
  for (const char* name : {"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS",
                           "LISTEN_PID", "WATCHDOG_USEC"}) {
    wanted.emplace(name, "");
  }
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!wanted.count(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : wanted) {
    if (!value.empty()) result.push_back(name + "=" + value);
  }
  return result;
}

std::vector<char*> pointersTo(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string findProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

void redirect(const char* file, int flags, int to) {
  const int fd = ::open(file, flags, 0644);
  if (fd < 0) ::_exit(126);
  ::dup2(fd, to);
  if (fd != to) ::close(fd);
}

ExitStatus decode(int status) {
  if (WIFEXITED(status)) return {WEXITSTATUS(status), 0};
  return {-1, WTERMSIG(status)};
}

}  // namespace

ChildProcess::ChildProcess(const ProcessSetup& setup) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::vector<std::string> arguments = setup.arguments;
  std::vector<std::string> environment = childEnvironment(setup.environment);
  const std::vector<char*> argv = pointersTo(arguments);
  const std::vector<char*> envp = pointersTo(environment);
  const std::string program = findProgram(arguments.at(0));
  if (program.empty()) throw std::runtime_error("no such program: " + arguments.at(0));
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {  // only async-signal-safe calls: the test may have threads
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
    if (::chdir(setup.directory.c_str()) != 0) ::_exit(126);
    redirect("/dev/null", O_RDONLY, STDIN_FILENO);
    redirect(setup.out.c_str(), O_WRONLY | O_CREAT | O_APPEND, STDOUT_FILENO);
    redirect(setup.err.c_str(), O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
    ::execve(program.c_str(), argv.data(), envp.data());
    ::_exit(127);
  }
  ::setpgid(pid_, pid_);
}

ChildProcess::~ChildProcess() {
  ::kill(-pid_, SIGKILL);
  if (running()) ::kill(pid_, SIGKILL);
  wait();
  eventually([&] { return !groupLives(); });
}

void ChildProcess::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

bool ChildProcess::running() {
  if (ended_) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  ended_ = decode(status);
  return false;
}

std::optional<ExitStatus> ChildProcess::wait(std::chrono::milliseconds patience) {
  eventually([&] { return !running(); }, patience);
  return ended_;
}

bool ChildProcess::groupLives() {
  if (running()) return true;
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(-pid_, &status, WNOHANG);
  } while (reaped > 0);
  return reaped == 0;
}

Finished runProgram(std::vector<std::string> arguments, const std::filesystem::path& directory,
                    std::map<std::string, std::string> environment,
                    std::chrono::milliseconds patience) {
  const TempDir output;
  ChildProcess child(ProcessSetup{std::move(arguments), directory, output / "out", output / "err",
                                  std::move(environment)});
  const std::optional<ExitStatus> status = child.wait(patience);
  return {status.value_or(ExitStatus{}), readAll(output / "out"), readAll(output / "err")};
}

std::string programPath(const std::string& name) {
  const char* folder = std::getenv("EGALAXYD_BIN_DIR");
  if (folder == nullptr) throw std::runtime_error("EGALAXYD_BIN_DIR does not name the programs");
  return std::string(folder) + "/" + name;
}

bool isInstalled(const std::string& name) { return !findProgram(name).empty(); }

std::string readAll(const std::filesystem::path& file) {
  const std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace egalaxyd
