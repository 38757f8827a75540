// Who asks too often, and letting them ask again.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/commands/listing.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

void printLimits(const Invocation& invocation, const Object& answer) {
  const auto rows = answer.getArray("limits");
  const auto total = answer.getValue<std::size_t>("total");
  if (answer.has("off")) {
    invocation.out << "no one is rate-limited: " << cellOf(answer, "off") << '\n';
    return;
  }
  if (total == 0) {
    invocation.out << "no one is rate-limited\n";
    return;
  }
  Table table({"address", "until", "left", "refused"});
  for (const auto& each : *rows) {
    const auto& row = each.extract<Object::Ptr>();
    table.add({cellOf(*row, "address"), timeCell(*row, "until"),
               durationWords(row->getValue<std::int64_t>("seconds")),
               cellOf(*row, "refused") + (row->getValue<bool>("refused_more") ? "+" : "")});
  }
  table.print(invocation.out, invocation.colour);
  if (total > rows->size()) {
    invocation.out << fmt::format("and {} more\n", total - rows->size());
  }
}

void printCleared(const Invocation& invocation, const Object& answer) {
  const auto cleared = answer.getValue<std::size_t>("cleared");
  invocation.out << fmt::format("{} may ask again\n",
                                cleared == 1 ? "1 address" : fmt::format("{} addresses", cleared));
}

}  // namespace

int listLimits(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kLimits, &printLimits);
}

int clearLimits(const Invocation& invocation) {
  ControlRequest request(ControlCommand::kClearLimits);
  if (!invocation.arguments.empty()) request.arguments["address"] = invocation.arguments.front();
  return askAndPrint(invocation, request, &printCleared);
}

}  // namespace egalaxyd::ctl
