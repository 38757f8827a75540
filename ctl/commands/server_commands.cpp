// Commands that the running server carries out.
#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/config/config_loader.h"
#include "common/storage/storage.h"
#include "common/wire/control_protocol.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

std::string age(const Object& object, const std::string& name) {
  return object.has(name) ? durationWords(object.getValue<std::int64_t>(name)) : "-";
}

/// Roots and files that cannot be served now; an older server does not tell.
void printAway(std::ostream& out, const Object& answer) {
  const auto away = answer.getArray("away");
  if (!away) return;
  for (const auto& each : *away) {
    const auto& place = each.extract<Object::Ptr>();
    std::string sites;
    for (const auto& site : *place->getArray("sites")) {
      sites += (sites.empty() ? "" : ", ") + printable(site.toString());
    }
    out << fmt::format("away: {} ({}): {}\n", cellOf(*place, "path"), sites,
                       cellOf(*place, "error"));
  }
}

/// A database that is shared with other hosts.
void printDatabase(std::ostream& out, const Object& storage) {
  out << fmt::format("  {}, primary {} (timeline {})", cellOf(storage, "engine"),
                     storage.has("primary") ? cellOf(storage, "primary") : "not seen yet",
                     cellOf(storage, "timeline"));
  if (storage.has("standby")) out << ", standby " << cellOf(storage, "standby");
  if (!storage.optValue("synchronous", true)) {
    out << ", no synchronous standby: an acknowledged upload is on one machine only";
  }
  out << fmt::format("\n  {} of {} connections, {} waiting", cellOf(storage, "lanes"),
                     cellOf(storage, "lanes_wanted"), cellOf(storage, "waiting"));
  if (const auto gap = storage.getObject("last_gap")) {
    const std::int64_t ago = unixTime(wallNow()) - gap->getValue<std::int64_t>("time");
    out << fmt::format(", last away {} ago for {:.1f} s",
                       durationWords(std::max<std::int64_t>(ago, 0)),
                       gap->getValue<double>("seconds"));
  }
  const auto lag = storage.optValue<std::int64_t>("content_lag", 0);
  out << (lag == 0 ? "; content up to date\n"
                   : fmt::format("; {} changes of content to come\n", lag));
}

void printStatus(const Invocation& invocation, const Object& answer) {
  std::ostream& out = invocation.out;
  const bool colour = invocation.colour;
  out << fmt::format("egalaxyd {}, {}, generation {}, process {}, up {}\n",
                     cellOf(answer, "version"), stateText(cellOf(answer, "state"), colour),
                     cellOf(answer, "generation"), cellOf(answer, "pid"), age(answer, "uptime"));
  if (const auto libraries = answer.getObject("libraries")) {
    out << fmt::format("with OpenSSL {} and SQLite {}\n", cellOf(*libraries, "openssl"),
                       cellOf(*libraries, "sqlite"));
  }
  const auto file = answer.optValue<std::string>("configuration", "");
  out << (file.empty() ? "no configuration file" : "configuration " + printable(file));
  const auto included = answer.optValue<std::uint64_t>("included", 0);
  if (included > 0)
    out << fmt::format(" and {} included file{}", included, included > 1 ? "s" : "");
  out << '\n';
  for (const auto& each : *answer.getArray("listeners")) {
    const auto& listener = each.extract<Object::Ptr>();
    const bool listens = listener->optValue("listening", true);
    out << (listens ? "" : "NOT ")
        << fmt::format("listening on {} for {}\n", cellOf(*listener, "address"),
                       cellOf(*listener, "protocols"));
  }
  const auto storage = answer.getObject("storage");
  out << "database " << stateText(cellOf(*storage, "state"), colour);
  if (storage->has("error")) out << ": " << cellOf(*storage, "error");
  out << '\n';
  if (storage->has("engine")) printDatabase(out, *storage);
  printAway(out, answer);
  if (const auto troubles = answer.getArray("certificate_troubles")) {
    for (const auto& each : *troubles) {
      out << "certificate not taken up: " << printable(each.toString()) << '\n';
    }
  }
  out << '\n';
  Table table({"worker", "generation", "pid", "state", "up", "open", "restarts", "last cause"});
  table.showStates(3);
  for (const auto& each : *answer.getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    table.add({cellOf(*worker, "slot"), cellOf(*worker, "generation"), cellOf(*worker, "pid"),
               cellOf(*worker, "state"), age(*worker, "age"), cellOf(*worker, "connections"),
               cellOf(*worker, "restarts"), cellOf(*worker, "last_cause")});
  }
  table.print(out, colour);
  if (const auto failure = answer.getObject("reload_failure")) {
    out << "\nthe last reload failed:\n";
    for (const auto& complaint : *failure->getArray("complaints")) {
      out << "  " << printable(complaint.toString()) << '\n';
    }
  }
}

void printGeneration(const Invocation& invocation, const Object& answer) {
  invocation.out << "generation " << cellOf(answer, "generation") << " serves\n";
}

void printStopped(const Invocation& invocation, const Object&) {
  invocation.out << "stopped; what was begun is finished\n";
}

void printRestarted(const Invocation& invocation, const Object&) {
  const std::string& which = invocation.arguments.front();
  invocation.out << (which == "all" ? "all workers were" : "worker " + which + " was")
                 << " replaced\n";
}

void printLevel(const Invocation& invocation, const Object&) {
  invocation.out << "the log holds level " << invocation.arguments.front()
                 << " and above until the next reload\n";
}

}  // namespace

int showStatus(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kStatus, &printStatus);
}

int reloadServer(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kReload, &printGeneration);
}

int stopServer(const Invocation& invocation) {
  return askAndPrint(invocation, ControlCommand::kStop, &printStopped);
}

int restartWorker(const Invocation& invocation) {
  return askAndPrint(invocation,
                     {ControlCommand::kRestart, {{"worker", invocation.arguments.front()}}},
                     &printRestarted);
}

int changeLogLevel(const Invocation& invocation) {
  const std::string& level = invocation.arguments.front();
  if (!parseLogLevel(level)) {
    return refuseValue(invocation, "log", level, {kLogLevels.begin(), kLogLevels.end()});
  }
  return askAndPrint(invocation, {ControlCommand::kLog, {{"level", level}}}, &printLevel);
}

}  // namespace egalaxyd::ctl
