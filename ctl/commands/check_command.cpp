#include <sys/wait.h>

#include <cstring>
#include <ostream>

#include "ctl/base/command_table.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {

int checkConfiguration(const Invocation& invocation) {
  std::vector<std::string> line{serverProgram(), "--check"};
  for (const std::string& file : invocation.arguments) line.push_back("--config=" + file);
  const auto child = startProgram(std::move(line));
  if (!child) {
    complain(invocation, child.error());
    return kExitUnavailable;
  }
  const auto status = waitForProgram(*child);
  if (!status) return complain(invocation, status.error());
  if (WIFEXITED(*status)) return WEXITSTATUS(*status);
  invocation.err << "egalaxyctl: egalaxyd was ended by a signal: " << ::strsignal(WTERMSIG(*status))
                 << '\n';
  return kExitSoftware;
}

}  // namespace egalaxyd::ctl
