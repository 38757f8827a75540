#include "master/launcher/orphans.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string>

#include "common/base/unique_fd.h"
#include "master/launcher/script_process.h"

namespace egalaxyd {

std::vector<pid_t> childrenHere() {
  const std::string file = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
  const UniqueFd list(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part;
  for (ssize_t got = 0; list && (got = ::read(list.get(), part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  std::istringstream numbers(text);
  std::vector<pid_t> children;
  for (pid_t pid = 0; numbers >> pid;) children.push_back(pid);
  return children;
}

bool endOrphans() {
  bool some = false;
  for (const pid_t child : childrenHere()) {
    if (!isOfScript(child)) continue;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, WNOHANG | __WALL);
    some = true;  // its children become ours when it has ended
  }
  return some;
}

}  // namespace egalaxyd
