#include "master/control/figures_report.h"

#include <Poco/JSON/Array.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/control_protocol.h"
#include "master/control/statistics.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostFaults = 20;

using Sources = std::vector<std::pair<Fault, const char*>>;

void addFaults(Sources& all, std::vector<Fault> faults, const char* process) {
  for (Fault& fault : faults) all.emplace_back(std::move(fault), process);
}

Poco::JSON::Array describeFaults(Sources all) {
  std::ranges::stable_sort(all, std::ranges::greater(),
                           [](const auto& each) { return each.first.time; });
  if (all.size() > kMostFaults) all.resize(kMostFaults);
  Poco::JSON::Array rows;
  for (const auto& [fault, process] : all) {
    Poco::JSON::Object row = jsonObject();
    row.set("time", fault.time);
    row.set("level", std::string(fault.isError ? "error" : "warn"));
    row.set("process", std::string(process));
    row.set("text", fault.text);
    rows.add(row);
  }
  return rows;
}

}  // namespace

Poco::JSON::Object describeFigures(const MasterView& master,
                                   const std::optional<ReloadFailure>& failure,
                                   const FaultRing& own) {
  Sources faults;
  addFaults(faults, own.recent(), "master");
  addFaults(faults, master.shared.recentFaults(), "worker");
  Poco::JSON::Object figures = jsonObject();
  figures.set("status", describeStatus(master, failure));
  figures.set("statistics", describeStatistics(master));
  figures.set("faults", describeFaults(std::move(faults)));
  return figures;
}

}  // namespace egalaxyd
