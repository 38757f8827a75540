#include "common/config/install_place.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <filesystem>

#include "common/base/path.h"
#include "common/base/spelling.h"
#include "common/wire/host_name.h"

namespace egalaxyd {
namespace {

std::vector<std::string> allNamesOf(const SiteConfig& site) {
  std::vector<std::string> names{site.host};
  names.insert(names.end(), site.aliases.begin(), site.aliases.end());
  return names;
}

/// As clients of `host` are served: by its name, its wildcard, or the site for any host. nullptr:
/// none.
const SiteConfig* siteFor(const std::vector<SiteConfig>& sites, const std::string& host) {
  const std::string name = canonicalHost(host).value_or(host);
  const std::size_t dot = name.find('.');
  const std::string wildcard = dot == std::string::npos ? "*" : "*" + name.substr(dot);
  for (const std::string& wanted : {name, wildcard, std::string("*")}) {
    for (const SiteConfig& site : sites) {
      const auto names = allNamesOf(site);
      if (std::ranges::find(names, wanted) != names.end()) return &site;
    }
  }
  return nullptr;
}

Error noSuchSite(const std::vector<SiteConfig>& sites, const std::string& host) {
  std::vector<std::string> known;
  for (const SiteConfig& site : sites) {
    for (std::string& name : allNamesOf(site)) known.push_back(std::move(name));
  }
  const auto near = nearNames(host, known);
  return {ErrorCode::kNotFound,
          fmt::format("no site serves {}{}", printable(host),
                      near.empty() ? "" : fmt::format("; did you mean {}?", near.front()))};
}

Error isConfigured(const std::string& key, const std::filesystem::path& file) {
  return {ErrorCode::kInvalid,
          fmt::format("{} in the configuration is {}, which wins over any that is installed: put "
                      "the new one there, or take certificate and key out of the configuration",
                      key, file.string())};
}

}  // namespace

Result<InstallPlace> placeToInstall(const Config& config, const std::string& host) {
  const std::vector<SiteConfig> sites = sitesWithCertificates(config);
  const SiteConfig* site = siteFor(sites, host);
  if (site == nullptr) return noSuchSite(sites, host);
  if (!site->certificate.empty()) {
    return isConfigured(fmt::format("sites.\"{}\".certificate", site->host), site->certificate);
  }
  if (!config.tls.certificate.empty()) {
    return isConfigured("tls.certificate", config.tls.certificate);
  }
  InstallPlace place{site->host, allNamesOf(*site)};
  std::erase(place.names, "*");
  return place;
}

}  // namespace egalaxyd
