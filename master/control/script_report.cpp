#include "master/control/script_report.h"

#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/base/path.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

using Poco::JSON::Object;

Object describeScripts(LaunchersAnswer answer) {
  std::ranges::sort(answer.scripts, {}, [](const ListedScript& each) {
    return std::tuple(each.script.pid == 0, UINT64_MAX - each.script.ageMs);
  });
  Poco::JSON::Array rows;
  for (const auto& [account, script] : answer.scripts) {
    Object row = jsonObject();
    if (script.pid != 0) row.set("pid", script.pid);
    row.set("mount", printable(script.mount));
    row.set("script", printable(script.script));
    row.set("account", account);
    row.set("age_ms", script.ageMs);
    row.set("cpu_ms", script.cpuMs);
    row.set("client", printable(script.client));
    rows.add(row);
  }
  Object told = controlSuccess();
  told.set("scripts", rows);
  told.set("more", answer.more);
  told.set("silent_launchers", answer.silent);
  return told;
}

Object describeStopped(pid_t pid, const LaunchersAnswer& answer) {
  if (answer.found) return controlSuccess();
  if (answer.silent == 0) return controlFailure(fmt::format("no script is process {}", pid));
  return controlFailure(
      fmt::format("no script is process {}, as far as is known: {} of the launchers gave no answer",
                  pid, answer.silent));
}

}  // namespace egalaxyd
