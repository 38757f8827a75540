// What scripts run, and ending one.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "common/base/number.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

std::string cpuCell(const Object& row) {
  return fmt::format("{:.2f}s", static_cast<double>(row.getValue<std::int64_t>("cpu_ms")) / 1000);
}

void printScripts(const Invocation& invocation, const Object& answer) {
  std::ostream& out = invocation.out;
  const auto rows = answer.getArray("scripts");
  if (rows->empty()) {
    out << "no script runs\n";
  } else {
    Table table({"pid", "mount", "script", "account", "age", "cpu", "client"});
    for (const auto& each : *rows) {
      const auto& row = each.extract<Object::Ptr>();
      table.add({cellOf(*row, "pid"), cellOf(*row, "mount"), cellOf(*row, "script"),
                 cellOf(*row, "account"),
                 durationWords(row->getValue<std::int64_t>("age_ms") / 1000), cpuCell(*row),
                 cellOf(*row, "client")});
    }
    table.print(out, invocation.colour);
  }
  const auto more = answer.getValue<std::uint64_t>("more");
  if (more > 0) out << fmt::format("and {} more\n", more);
  if (answer.getValue<std::uint64_t>("silent_launchers") > 0) {
    out << "a launcher gave no answer: its scripts are missing here\n";
  }
}

void printBeingEnded(const Invocation& invocation, const Object&) {
  invocation.out << "script " << invocation.arguments.front() << " is being ended\n";
}

}  // namespace

int listScripts(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kScripts, &printScripts);
}

int stopScript(const Invocation& invocation) {
  const std::string& pid = invocation.arguments.front();
  if (!parseNumber(pid, 1, INT32_MAX)) {
    return refuseLine(invocation, "scripts stop", fmt::format("'{}' is no process id", pid));
  }
  return askAndPrint(invocation, {ControlCommand::kStopScript, {{"id", pid}}}, &printBeingEnded);
}

}  // namespace egalaxyd::ctl
