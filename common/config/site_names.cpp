#include "common/config/site_names.h"

#include <algorithm>

#include "common/wire/machine_name.h"

namespace egalaxyd {

std::vector<std::string> configuredNames(const SiteConfig& site) {
  std::vector<std::string> names{site.host};
  names.insert(names.end(), site.aliases.begin(), site.aliases.end());
  std::erase(names, "*");
  return names;
}

std::vector<std::string> namesAskedFor(const SiteConfig& site) {
  std::vector<std::string> names = configuredNames(site);
  if (!names.empty()) return names;
  names.push_back(machineName());
  if (names.front() != "localhost") names.emplace_back("localhost");
  return names;
}

std::vector<std::string> automaticNames(const SiteConfig& site) {
  std::vector<std::string> names = namesAskedFor(site);
  if (site.host != "*" && std::ranges::find(site.aliases, "*") == site.aliases.end()) return names;
  for (const std::string& own :
       {machineName(), std::string("localhost"), std::string("127.0.0.1"), std::string("::1")}) {
    if (std::ranges::find(names, own) == names.end()) names.push_back(own);
  }
  return names;
}

}  // namespace egalaxyd
