#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <ostream>

#include "common/base/path.h"
#include "ctl/base/command_table.h"
#include "ctl/control/control_client.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {

namespace {

/// Options of egalaxyd; what they name was said. None: `code` is the answer already.
std::optional<std::vector<std::string>> whatToCheck(const Invocation& invocation, int& code) {
  if (!invocation.arguments.empty()) return {{"--config=" + invocation.arguments.front()}};
  const auto say = [&](const std::string& text) {
    invocation.err << "egalaxyctl: " << printable(text) << '\n';
  };
  const auto status = askServer(invocation, ControlCommand::kStatus);
  if (status && (*status)->optValue("ok", false)) {
    const auto file = (*status)->optValue<std::string>("configuration", "");
    if (!file.empty()) {
      say("checking " + file + ", which the running server uses");
      return {{"--config=" + file}};
    }
    say("the running server has no configuration file; name the one to check: egalaxyctl check "
        "FILE");
    return std::nullopt;
  }
  if (!status && status.error().code == ErrorCode::kNotFound && !invocation.has("socket")) {
    LikelyConfiguration likely = likelyConfiguration();
    say("no server runs: checking " + likely.name);
    return std::move(likely.options);
  }
  code = printAnswer(invocation, status, [](const Invocation&, const Poco::JSON::Object&) {});
  say("which file it uses is not known; name the one to check: egalaxyctl check FILE");
  return std::nullopt;
}

}  // namespace

int checkConfiguration(const Invocation& invocation) {
  int code = 0;
  const auto options = whatToCheck(invocation, code);
  if (!options) return code;
  std::vector<std::string> line{serverProgram(), "--check"};
  line.insert(line.end(), options->begin(), options->end());
  // A terminal gets it by way of us, who fold it.
  const auto status = runProgram(std::move(line), invocation.terminal ? &invocation.out : nullptr,
                                 ::isatty(STDERR_FILENO) == 1 ? &invocation.err : nullptr);
  if (!status) {
    complain(invocation, status.error());
    return kExitUnavailable;
  }
  if (WIFEXITED(*status)) return WEXITSTATUS(*status);
  invocation.err << "egalaxyctl: egalaxyd was ended by a signal: " << ::strsignal(WTERMSIG(*status))
                 << '\n';
  return kExitSoftware;
}

}  // namespace egalaxyd::ctl
