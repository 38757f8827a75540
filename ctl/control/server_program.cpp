#include "ctl/control/server_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/config/configuration_files.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

Result<std::string> readToEnd(int fd) {
  std::string text;
  std::array<char, 16 * 1024> bytes;
  for (;;) {
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("hear egalaxyd", errno);
    if (got == 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
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

Result<pid_t> startProgram(std::vector<std::string> line, int out) {
  std::vector<char*> arguments;
  for (std::string& argument : line) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (out >= 0) ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t child = 0;
  const int failed =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return errnoError("start " + line.front(), failed);
  return child;
}

Result<int> waitForProgram(pid_t program) {
  int status = 0;
  while (::waitpid(program, &status, 0) < 0) {
    if (errno != EINTR) return errnoError("wait for egalaxyd", errno);
  }
  return status;
}

LikelyConfiguration likelyConfiguration() {
  std::error_code failed;
  const fs::path here = fs::current_path(failed) / kFolderConfiguration;
  if (fs::exists(fs::symlink_status(here, failed))) return {{}, here.string()};
  if (fs::exists(kSystemConfiguration, failed)) return {{"--system"}, kSystemConfiguration};
  return {{}, "the built-in configuration for this folder"};
}

Result<std::string> dumpedConfiguration(const LikelyConfiguration& likely) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errnoError("make a pipe", errno);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  std::vector<std::string> line{serverProgram(), "--dump"};
  line.insert(line.end(), likely.options.begin(), likely.options.end());
  const auto program = startProgram(std::move(line), theirs.get());
  theirs.reset();
  if (!program) return program.error();
  auto text = readToEnd(ours.get());
  const auto status = waitForProgram(*program);
  if (!text) return text;
  if (!status) return status.error();
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return text;
  return Error{ErrorCode::kInvalid, "egalaxyd --dump tells no configuration"};
}

}  // namespace egalaxyd::ctl
