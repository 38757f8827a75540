// What scripts run, and ending one; what applications and capsules are called.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "common/base/number.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/commands/listing.h"
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

void printUpstreams(const Invocation& invocation, const Object& answer) {
  const auto rows = answer.getArray("upstreams");
  if (rows->empty()) {
    invocation.out << "no application and no capsule is called\n";
    return;
  }
  Table table(
      {"address", "host", "mount", "state", "since", "open", "answered", "failed", "last error"});
  for (const auto& each : *rows) {
    const auto& row = each.extract<Object::Ptr>();
    std::string error = cellOf(*row, "last_error");
    if (row->has("last_error")) error += ", " + timeCell(*row, "last_error_time");
    table.add({cellOf(*row, "address"), cellOf(*row, "host"), cellOf(*row, "mount"),
               cellOf(*row, "state"), row->has("since") ? timeCell(*row, "since") : "-",
               cellOf(*row, "connections"), cellOf(*row, "answered"), cellOf(*row, "failed"),
               error});
  }
  table.showStates(3);
  table.print(invocation.out, invocation.colour);
}

void printBeingEnded(const Invocation& invocation, const Object&) {
  invocation.out << "script " << invocation.arguments.front() << " is being ended\n";
}

}  // namespace

int listScripts(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kScripts, &printScripts);
}

int listUpstreams(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kUpstreams, &printUpstreams);
}

int stopScript(const Invocation& invocation) {
  const std::string& pid = invocation.arguments.front();
  if (!parseNumber(pid, 1, INT32_MAX)) {
    return refuseLine(invocation, "scripts stop", fmt::format("'{}' is no process id", pid));
  }
  return askAndPrint(invocation, {ControlCommand::kStopScript, {{"id", pid}}}, &printBeingEnded);
}

}  // namespace egalaxyd::ctl
