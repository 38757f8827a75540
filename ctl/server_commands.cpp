// Commands that the running server carries out.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "ctl/command_table.h"
#include "ctl/control_client.h"
#include "ctl/table.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

std::string text(const Object& object, const std::string& name) {
  const auto value = object.get(name);
  return value.isEmpty() ? "-" : value.toString();
}

std::string age(const Object& object, const std::string& name) {
  return object.has(name) ? durationWords(object.getValue<std::int64_t>(name)) : "-";
}

void printStatus(const Invocation& invocation, const Object& answer) {
  std::ostream& out = invocation.out;
  const bool colour = invocation.colour;
  out << fmt::format("egalaxyd {}, {}, generation {}, process {}, up {}\n", text(answer, "version"),
                     stateText(text(answer, "state"), colour), text(answer, "generation"),
                     text(answer, "pid"), age(answer, "uptime"));
  for (const auto& each : *answer.getArray("listeners")) {
    const auto& listener = each.extract<Object::Ptr>();
    out << fmt::format("listening on {} for {}\n", text(*listener, "address"),
                       text(*listener, "protocols"));
  }
  const auto storage = answer.getObject("storage");
  out << "database " << stateText(text(*storage, "state"), colour);
  if (storage->has("error")) out << ": " << text(*storage, "error");
  out << "\n\n";
  Table table({"worker", "generation", "pid", "state", "up", "open", "restarts", "last cause"});
  table.showStates(3);
  for (const auto& each : *answer.getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    table.add({text(*worker, "slot"), text(*worker, "generation"), text(*worker, "pid"),
               text(*worker, "state"), age(*worker, "age"), text(*worker, "connections"),
               text(*worker, "restarts"), text(*worker, "last_cause")});
  }
  table.print(out, colour);
  if (const auto failure = answer.getObject("reload_failure")) {
    out << "\nthe last reload failed:\n";
    for (const auto& complaint : *failure->getArray("complaints")) {
      out << "  " << complaint.toString() << '\n';
    }
  }
}

void printGeneration(const Invocation& invocation, const Object& answer) {
  invocation.out << "generation " << text(answer, "generation") << " serves\n";
}

void printNothing(const Invocation&, const Object&) {}

}  // namespace

int showStatus(const Invocation& invocation) {
  return askAndPrint(invocation, {"status", {}}, &printStatus);
}

int reloadServer(const Invocation& invocation) {
  return askAndPrint(invocation, {"reload", {}}, &printGeneration);
}

int stopServer(const Invocation& invocation) {
  return askAndPrint(invocation, {"stop", {}}, &printNothing);
}

int restartWorker(const Invocation& invocation) {
  return askAndPrint(invocation, {"restart", {{"worker", invocation.arguments.front()}}},
                     &printNothing);
}

int changeLogLevel(const Invocation& invocation) {
  const std::string& level = invocation.arguments.front();
  if (std::find(kLogLevels.begin(), kLogLevels.end(), level) == kLogLevels.end()) {
    return refuseValue(invocation, "log", level, kLogLevels);
  }
  return askAndPrint(invocation, {"log", {{"level", level}}}, &printNothing);
}

}  // namespace egalaxyd
