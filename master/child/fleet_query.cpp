#include "master/child/fleet_query.h"

#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <string>

#include "common/base/path.h"
#include "common/cluster/database_access.h"
#include "common/cluster/own_sight.h"
#include "common/wire/control_protocol.h"
#include "master/child/shared_database.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

/// Digits of a digest in a remark.
constexpr std::size_t kShownDigits = 12;
/// Changes that a host may be behind by without a remark: those of the moment.
constexpr std::int64_t kUsualLag = 100;

bool isAway(const FleetHost& host, WallTime now) {
  return unixTime(now) - host.seen > kHostIsAway.count();
}

/// "versions differ: 0.1 on h1, h2; 0.2 on h3"; "": they are the same.
std::string difference(const std::vector<FleetHost>& hosts, std::string_view what,
                       std::string FleetHost::*member, std::size_t most) {
  std::map<std::string, std::vector<std::string>> by;
  for (const FleetHost& host : hosts) {
    by[printable(host.*member).substr(0, most)].push_back(printable(host.name));
  }
  if (by.size() < 2) return "";
  std::vector<std::string> parts;
  for (const auto& [value, names] : by) {
    parts.push_back(
        fmt::format("{} on {}", value.empty() ? "none" : value, fmt::join(names, ", ")));
  }
  return fmt::format("{}: {}", what, fmt::join(parts, "; "));
}

std::vector<std::string> remarksOn(const std::vector<FleetHost>& hosts, WallTime now) {
  std::vector<std::string> remarks;
  std::vector<FleetHost> present;
  for (const FleetHost& host : hosts) {
    if (!isAway(host, now)) {
      present.push_back(host);
      if (host.lag > kUsualLag) {
        remarks.push_back(fmt::format("{} is {} changes of content behind: look at its log",
                                      printable(host.name), host.lag));
      }
      continue;
    }
    remarks.push_back(
        fmt::format("{} has said nothing for {} s: it does not run, or does not "
                    "reach the database",
                    printable(host.name), unixTime(now) - host.seen));
  }
  for (const std::string& each :
       {difference(present, "configurations or certificates differ; make them the same, and reload",
                   &FleetHost::digest, kShownDigits),
        difference(present, "versions differ", &FleetHost::version, std::string::npos)}) {
    if (!each.empty()) remarks.push_back(each);
  }
  return remarks;
}

std::string twoOfOneName(const std::string& name) {
  return fmt::format(
      "another host calls itself {}, too, and is the one shown: give each a "
      "storage.host of its own",
      printable(name));
}

Object describe(const FleetHost& host, WallTime now) {
  Object row = jsonObject();
  row.set("name", printable(host.name));
  row.set("state", isAway(host, now) ? "away" : "up");
  row.set("version", printable(host.version));
  row.set("generation", host.generation);
  row.set("digest", printable(host.digest));
  row.set("instance", printable(host.instance));
  row.set("lag", host.lag);
  row.set("started", host.started);
  row.set("seen", host.seen);
  return row;
}

}  // namespace

Object describeFleet(std::vector<FleetHost> hosts, WallTime now, const std::string& name,
                     const std::string& instance) {
  std::ranges::sort(hosts, {}, &FleetHost::name);
  Array rows;
  auto remarks = remarksOn(hosts, now);
  for (const FleetHost& host : hosts) {
    rows.add(describe(host, now));
    if (host.name != name || instance.empty() || host.instance == instance) continue;
    if (!isAway(host, now)) remarks.push_back(twoOfOneName(name));
  }
  Object answer = controlSuccess();
  answer.set("hosts", rows);
  answer.set("remarks", jsonArray(remarks));
  return answer;
}

Object askFleet(const Config& config, const std::optional<Account>& account,
                const std::string& instance) {
  if (auto confined = confineToStorage(config, account); !confined) {
    return controlFailure(confined.error().message);
  }
  const auto engine = loadDatabaseEngine();
  if (!engine) return controlFailure(engine.error().message);
  OwnSight sight;
  const DatabaseAccess access = databaseAccess(config.storage);
  const auto link = (*engine)->openLink(access, sight);
  if (!link) return controlFailure(link.error().message);
  auto hosts = (*link)->fleet();
  if (!hosts) return controlFailure(hosts.error().message);
  return describeFleet(std::move(*hosts), wallNow(), access.host, instance);
}

}  // namespace egalaxyd
