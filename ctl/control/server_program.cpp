#include "ctl/control/server_program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <ostream>
#include <sstream>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/config/configuration_files.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

/// A pipe from a program to a stream; without one there is none.
class Heard {
 public:
  explicit Heard(std::ostream* to) : to_(to) {}

  Result<void> open() {
    std::array<int, 2> ends{};
    if (to_ == nullptr) return {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errnoError("make a pipe", errno);
    ours_ = UniqueFd(ends[0]);
    theirs_ = UniqueFd(ends[1]);
    return {};
  }
  int theirs() const { return theirs_.get(); }
  void programHasIt() { theirs_.reset(); }
  bool isOpen() const { return static_cast<bool>(ours_); }
  /// -1, which poll() passes over, when it has ended.
  pollfd wanted() const { return {ours_.get(), POLLIN, 0}; }
  /// Some of it, when there is some.
  void pass() {
    std::array<char, 16 * 1024> bytes;
    const ssize_t got = ::read(ours_.get(), bytes.data(), bytes.size());
    if (got > 0) to_->write(bytes.data(), got);
    if (got == 0 || (got < 0 && errno != EINTR)) ours_.reset();
  }

 private:
  std::ostream* to_;
  UniqueFd ours_;
  UniqueFd theirs_;
};

Result<pid_t> start(std::vector<std::string> line, int out, int err) {
  std::vector<char*> arguments;
  for (std::string& argument : line) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (out >= 0) ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (err >= 0) ::posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t child = 0;
  const int failed =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return errnoError("start " + line.front(), failed);
  return child;
}

Result<int> waitFor(pid_t program, const std::string& name) {
  int status = 0;
  while (::waitpid(program, &status, 0) < 0) {
    if (errno != EINTR) return errnoError("wait for " + name, errno);
  }
  return status;
}

}  // namespace

std::string serverProgram() {
  std::error_code failed;
  const fs::path folder = fs::read_symlink("/proc/self/exe", failed).parent_path();
  if (failed) return "egalaxyd";
  for (const fs::path& server : {folder / "egalaxyd", folder.parent_path() / "sbin/egalaxyd"}) {
    if (::access(server.c_str(), X_OK) == 0) return server.string();
  }
  return "egalaxyd";
}

Result<int> runProgram(std::vector<std::string> line, std::ostream* out, std::ostream* err) {
  const std::string name = line.front();
  Heard output(out);
  Heard errors(err);
  for (Heard* each : {&output, &errors}) {
    if (auto opened = each->open(); !opened) return opened.error();
  }
  const auto program = start(std::move(line), output.theirs(), errors.theirs());
  output.programHasIt();
  errors.programHasIt();
  if (!program) return program.error();
  while (output.isOpen() || errors.isOpen()) {
    // Complaints first: what is last of the output is the verdict.
    std::array<pollfd, 2> both{errors.wanted(), output.wanted()};
    if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) break;
    if (both[0].revents != 0) {
      errors.pass();
    } else if (both[1].revents != 0) {
      output.pass();
    }
  }
  return waitFor(*program, name);
}

LikelyConfiguration likelyConfiguration() {
  std::error_code failed;
  const fs::path here = fs::current_path(failed) / kFolderConfiguration;
  if (fs::exists(fs::symlink_status(here, failed))) return {{}, here.string()};
  if (fs::exists(kSystemConfiguration, failed)) return {{"--system"}, kSystemConfiguration};
  return {{}, "the built-in configuration for this folder"};
}

Result<std::string> dumpedConfiguration(const LikelyConfiguration& likely, std::ostream& err) {
  std::vector<std::string> line{serverProgram(), "--dump"};
  line.insert(line.end(), likely.options.begin(), likely.options.end());
  std::ostringstream text;
  const auto status = runProgram(std::move(line), &text, &err);
  if (!status) return status.error();
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return text.str();
  return Error{ErrorCode::kInvalid, "egalaxyd --dump tells no configuration"};
}

}  // namespace egalaxyd::ctl
