#include "ctl/commands/listing.h"

#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "common/base/units.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"

namespace egalaxyd::ctl {

using Poco::JSON::Object;

namespace {

std::string writerCell(const Object& upload) {
  const std::string writer = personCell(upload, "writer");
  return writer == "-" ? shortUser(cellOf(upload, "user")) : writer;
}

}  // namespace

std::string timeCell(const Object& object, const std::string& name) {
  const std::chrono::seconds seconds(object.getValue<std::int64_t>(name));
  return timeText(std::chrono::sys_seconds(seconds));
}

std::string shortUser(const std::string& id) { return id.substr(0, 16); }

std::string personCell(const Object& object, const std::string& name) {
  const auto given = object.optValue<std::string>(name, "");
  return given.empty() ? "-" : "@" + printable(given);
}

void printUploads(const Invocation& invocation, const Poco::JSON::Array& records) {
  Table table({"id", "time", "outcome", "bytes", "protocol", "user", "host", "path"});
  for (const auto& each : records) {
    const auto& row = each.extract<Object::Ptr>();
    table.add({cellOf(*row, "id"), timeCell(*row, "time"), cellOf(*row, "outcome"),
               cellOf(*row, "size"), cellOf(*row, "protocol"), writerCell(*row),
               cellOf(*row, "host"), cellOf(*row, "path")});
  }
  table.print(invocation.out, invocation.colour);
}

void printMore(std::ostream& out) {
  out << fmt::format("there are more; --limit N shows up to {}\n", kMostControlRows);
}

std::optional<int> addLimit(const Invocation& invocation, std::string_view command,
                            ControlRequest& request) {
  const auto given = invocation.options.find("limit");
  if (given == invocation.options.end()) return std::nullopt;
  const std::string& text = given->second;
  if (!parseNumber(text, 1, kMostControlRows)) {
    return refuseLine(
        invocation, command,
        fmt::format("--limit {} is not a number from 1 to {}", text, kMostControlRows));
  }
  request.arguments["limit"] = text;
  return std::nullopt;
}

}  // namespace egalaxyd::ctl
