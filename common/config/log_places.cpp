#include "common/config/log_places.h"

#include <algorithm>
#include <utility>

namespace egalaxyd {
namespace {

const std::string& accessTarget(const LogConfig& log) {
  return log.accessTarget.empty() ? log.target : log.accessTarget;
}

void addPlace(std::vector<LogPlace>& places, const std::string& target, std::string where) {
  if (std::ranges::find(places, target, &LogPlace::target) != places.end()) return;
  places.push_back({target, std::move(where)});
}

}  // namespace

bool isLogFile(std::string_view target) {
  return !target.empty() && target != "stderr" && target != "journal";
}

std::vector<LogPlace> logPlaces(const Config& config) {
  std::vector<LogPlace> places{{config.log.target, config.where("log.target")}};
  if (!config.log.access) return places;
  addPlace(places, accessTarget(config.log), config.where("log.access_target"));
  for (const SiteConfig& site : config.sites) {
    if (site.log.empty()) continue;
    if (places.size() > kMostLogs) break;  // one too many is told; more would only take time
    addPlace(places, site.log.string(), config.where(site.dottedKey + ".log"));
  }
  return places;
}

std::size_t accessPlace(const Config& config, const std::vector<LogPlace>& places,
                        const SiteConfig* site) {
  const bool own = site != nullptr && !site->log.empty();
  const std::string target = own ? site->log.string() : accessTarget(config.log);
  const auto place = std::ranges::find(places, target, &LogPlace::target);
  return place == places.end() ? 0 : static_cast<std::size_t>(place - places.begin());
}

}  // namespace egalaxyd
