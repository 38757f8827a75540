// The records of uploads.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>
#include <ostream>

#include "common/base/units.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/commands/listing.h"
#include "ctl/commands/version_commands.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

void printList(const Invocation& invocation, const Object& answer) {
  const auto records = answer.getArray("uploads");
  auto pending = answer.getArray("pending");
  if (pending.isNull()) pending = new Poco::JSON::Array;  // of an older server
  if (records->size() + pending->size() == 0) {
    invocation.out << "no uploads\n";
    return;
  }
  // Theirs are numbers of another kind, which "uploads show" does not know.
  for (const auto& row : *pending) {
    Object::Ptr object = row.extract<Object::Ptr>();
    object->set("id", "");
  }
  Poco::JSON::Array all(*pending);
  for (const auto& row : *records) all.add(row);
  printUploads(invocation, all);
  if (answer.getValue<bool>("uploads_more")) printMore(invocation.out);
}

void printUpload(const Invocation& invocation, const Object& answer) {
  const auto record = answer.getObject("upload");
  const std::pair<const char*, std::string> rows[] = {
      {"upload", cellOf(*record, "id")},         {"time", timeCell(*record, "time")},
      {"outcome", cellOf(*record, "outcome")},   {"why", cellOf(*record, "why")},
      {"protocol", cellOf(*record, "protocol")}, {"host", cellOf(*record, "host")},
      {"path", cellOf(*record, "path")},         {"writer", personCell(*record, "writer")},
      {"user", cellOf(*record, "user")},         {"client", cellOf(*record, "client")},
      {"type", cellOf(*record, "mime")},         {"bytes", cellOf(*record, "size")},
      {"SHA-256", cellOf(*record, "sha256")},    {"before", cellOf(*record, "previous_sha256")}};
  for (const auto& [name, value] : rows) {
    if (value != "-") invocation.out << fmt::format("{:<12}{}\n", name, value);
  }
}

/// In seconds since 1970; nullopt for what is neither a time nor a span.
std::optional<std::int64_t> sinceOf(const std::string& text) {
  using std::chrono::seconds;
  if (const auto time = parseTime(text)) return time->time_since_epoch().count();
  const auto span = parseDuration(text);
  if (!span) return std::nullopt;
  const auto from = std::chrono::floor<seconds>(std::chrono::system_clock::now() - *span);
  return std::max<std::int64_t>(0, from.time_since_epoch().count());
}

}  // namespace

int listUploads(const Invocation& invocation) {
  ControlRequest request(ControlCommand::kUploads);
  for (const char* name : {"host", "path", "user"}) {
    const auto given = invocation.options.find(name);
    if (given == invocation.options.end()) continue;
    if (given->second.empty())
      return refuseLine(invocation, "uploads", fmt::format("--{} is empty", name));
    request.arguments[name] = given->second;
  }
  if (const auto since = invocation.options.find("since"); since != invocation.options.end()) {
    const auto seconds = sinceOf(since->second);
    if (!seconds) {
      return refuseLine(
          invocation, "uploads",
          fmt::format("--since {}: a time is wanted, 2026-01-31 or 2026-01-31T08:00:00Z, "
                      "or a span, 30s, 5m, 2h or 3d",
                      since->second));
    }
    request.arguments["since"] = std::to_string(*seconds);
  }
  if (const auto wrong = addLimit(invocation, "uploads", request)) return *wrong;
  return askAndPrint(invocation, request, &printList);
}

int showUpload(const Invocation& invocation) {
  if (invocation.has("content")) {
    const auto fetched =
        fetchContent(invocation, invocation.arguments.front(), "its", invocation.out);
    return fetched ? 0 : complain(invocation, fetched.error());
  }
  return askAndPrint(invocation, {ControlCommand::kUpload, {{"id", invocation.arguments.front()}}},
                     &printUpload);
}

}  // namespace egalaxyd::ctl
