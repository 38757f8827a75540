// Users: holders of a client certificate, and what the server keeps of them.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <ostream>

#include "common/system/log.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/commands/listing.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

/// Bytes of a value that a line of the table shows.
constexpr std::size_t kShownBytes = 60;

/// In quotes, since any certificate can claim any name.
std::string claimedCell(const Object& user) {
  const auto claimed = user.optValue<std::string>("claimed", "");
  return claimed.empty() ? "-" : "\"" + logQuote(claimed) + "\"";
}

void printUsers(const Invocation& invocation, const Object& answer) {
  const auto users = answer.getArray("users");
  if (users->size() == 0) {
    invocation.out << "no users\n";
    return;
  }
  Table table({"user", "name", "visits", "first seen", "last seen", "claims"});
  for (const auto& each : *users) {
    const auto& user = each.extract<Object::Ptr>();
    table.add({shortUser(cellOf(*user, "id")), personCell(*user, "name"), cellOf(*user, "visits"),
               timeCell(*user, "first_seen"), timeCell(*user, "last_seen"), claimedCell(*user)});
  }
  table.print(invocation.out, invocation.colour);
  if (answer.getValue<bool>("users_more")) printMore(invocation.out);
}

/// On one line, whatever it holds.
std::string shownValue(const Object& entry) {
  if (entry.has("hex")) return "(no text; --json shows it)";
  std::string value = entry.getValue<std::string>("value");
  const bool cut = value.size() > kShownBytes;
  if (cut) {
    std::size_t end = kShownBytes;
    while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0U) == 0x80) --end;
    value.resize(end);
  }
  return logQuote(value) + (cut ? "..." : "");
}

void printUser(const Invocation& invocation, const Object& answer) {
  std::ostream& out = invocation.out;
  const auto user = answer.getObject("user");
  out << fmt::format("{:<12}{}\n", "user", cellOf(*user, "id"))
      << fmt::format("{:<12}{}\n", "name", personCell(*user, "name"))
      << fmt::format("{:<12}{}\n", "claims", claimedCell(*user))
      << fmt::format("{:<12}{}\n", "first seen", timeCell(*user, "first_seen"))
      << fmt::format("{:<12}{}\n", "last seen", timeCell(*user, "last_seen"))
      << fmt::format("{:<12}{}\n", "visits", cellOf(*user, "visits"));
  for (const auto& key : *user->getArray("keys")) {
    out << fmt::format("{:<12}{}\n", "public key", printable(key.toString()));
  }
  if (const auto entries = answer.getArray("metadata"); entries->size() > 0) {
    Table table({"metadata", "bytes", "value"});
    for (const auto& each : *entries) {
      const auto& entry = each.extract<Object::Ptr>();
      table.add({cellOf(*entry, "key"), cellOf(*entry, "bytes"), shownValue(*entry)});
    }
    out << '\n';
    table.print(out, invocation.colour);
    if (answer.getValue<bool>("metadata_more")) out << "there is more metadata\n";
  }
  if (const auto uploads = answer.getArray("uploads"); uploads->size() > 0) {
    out << "\nlast uploads\n";
    printUploads(invocation, *uploads);
    if (answer.getValue<bool>("uploads_more")) {
      out << fmt::format("there are more: egalaxyctl uploads --user {}\n",
                         shortUser(cellOf(*user, "id")));
    }
  }
}

void printForgotten(const Invocation& invocation, const Object& answer) {
  invocation.out << fmt::format(
      "removed user {}: keys {}, metadata {}\nupload records that stay, without user and address: "
      "{}\n",
      cellOf(answer, "user"), cellOf(answer, "keys"), cellOf(answer, "metadata"),
      cellOf(answer, "uploads"));
}

}  // namespace

int listUsers(const Invocation& invocation) {
  ControlRequest request(ControlCommand::kUsers);
  if (const auto wrong = addLimit(invocation, "users", request)) return *wrong;
  return askAndPrint(invocation, request, &printUsers);
}

int showUser(const Invocation& invocation) {
  return askAndPrint(invocation, {ControlCommand::kUser, {{"id", invocation.arguments.front()}}},
                     &printUser);
}

int forgetUser(const Invocation& invocation) {
  return askAndPrint(invocation,
                     {ControlCommand::kForgetUser, {{"id", invocation.arguments.front()}}},
                     &printForgotten);
}

}  // namespace egalaxyd::ctl
