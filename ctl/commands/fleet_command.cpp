// egalaxyctl fleet: the hosts that share a database.
#include <spdlog/fmt/fmt.h>

#include <ostream>
#include <string>

#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/commands/listing.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

/// Digits of a digest that people compare.
constexpr std::size_t kDigestDigits = 12;

void printFleet(const Invocation& invocation, const Poco::JSON::Object& answer) {
  Table table({"host", "state", "version", "generation", "configuration", "behind", "seen"});
  table.showStates(1);
  for (const auto& each : *answer.getArray("hosts")) {
    const auto& row = *each.extract<Poco::JSON::Object::Ptr>();
    table.add({cellOf(row, "name"), cellOf(row, "state"), cellOf(row, "version"),
               cellOf(row, "generation"), cellOf(row, "digest").substr(0, kDigestDigits),
               cellOf(row, "lag"), timeCell(row, "seen")});
  }
  table.print(invocation.out, invocation.colour);
  for (const auto& remark : *answer.getArray("remarks")) {
    invocation.out << printable(remark.toString()) << '\n';
  }
}

}  // namespace

int listFleet(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kFleet, &printFleet);
}

}  // namespace egalaxyd::ctl
