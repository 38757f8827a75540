// A packet of a worker or of a launcher, by its first byte: it is a message that survives being
// written and read again, or it is refused. What a worker asks is judged as well.
#include "common/shared/launcher_protocol.h"

#include <variant>

#include "common/shared/launcher_plan.h"
#include "master/launcher/ask_check.h"
#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {
namespace {

LauncherPlan planWithBothKinds() {
  LauncherPlan plan;
  plan.mounts.resize(2);
  plan.mounts[0].root = "/srv/cgi-bin";
  plan.mounts[1].number = 1;
  plan.mounts[1].program = "/usr/bin/app";
  return plan;
}

void checkAsk(std::string_view packet) {
  static const LauncherPlan plan = planWithBothKinds();
  const auto ask = decodeWorkerAsks(packet);
  if (!ask) return;
  require(decodeWorkerAsks(encode(*ask)) == ask, "what is written is read as it was");
  const auto* run = std::get_if<RunScript>(&*ask);
  if (run == nullptr || !lieOf(*run, mountOf(plan, run->mount)).empty()) return;
  require(("/" + run->script + "/").find("/../") == std::string::npos, "no way out of the root");
  require(!run->script.starts_with('/') && run->script.find('\0') == std::string::npos,
          "a path below the root");
  require(run->body.find('/') == std::string::npos, "a body in the spool");
}

void checkAnswer(std::string_view packet) {
  const auto answer = decodeLauncherAnswers(packet);
  if (!answer) return;
  require(decodeLauncherAnswers(encode(*answer)) == answer, "what is written is read as it was");
  require(filesWith(*answer) <= 2, "few descriptors");
}

}  // namespace

void launcher_protocol(std::string_view input) {
  if (input.empty()) return;
  const bool asks = input.front() == 'a';
  input.remove_prefix(1);
  asks ? checkAsk(input) : checkAnswer(input);
}

}  // namespace egalaxyd::fuzz
