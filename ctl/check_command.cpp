#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>

#include "common/errno_error.h"
#include "ctl/command_table.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// The server of the tree that this program belongs to, else by its name alone, to be looked for in
/// PATH.
std::string serverProgram() {
  std::error_code failed;
  const fs::path folder = fs::read_symlink("/proc/self/exe", failed).parent_path();
  if (failed) return "egalaxyd";
  for (const fs::path& server : {folder / "egalaxyd", folder.parent_path() / "sbin/egalaxyd"}) {
    if (::access(server.c_str(), X_OK) == 0) return server.string();
  }
  return "egalaxyd";
}

Result<pid_t> spawn(std::vector<std::string> line) {
  std::vector<char*> arguments;
  for (std::string& argument : line) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int failed =
      ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (failed != 0) return errnoError("start " + line.front(), failed);
  return child;
}

}  // namespace

int checkConfiguration(const Invocation& invocation) {
  std::vector<std::string> line{serverProgram(), "--check"};
  for (const std::string& file : invocation.arguments) line.push_back("--config=" + file);
  const auto child = spawn(std::move(line));
  if (!child) {
    complain(invocation, child.error());
    return kExitUnavailable;
  }
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0) {
    if (errno != EINTR) return complain(invocation, errnoError("wait for egalaxyd", errno));
  }
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  invocation.err << "egalaxyctl: egalaxyd was ended by a signal: " << ::strsignal(WTERMSIG(status))
                 << '\n';
  return kExitSoftware;
}

}  // namespace egalaxyd
