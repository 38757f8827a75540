#include "common/config/redirect_check.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/config/redirect_rules.h"
#include "common/wire/uri.h"

namespace egalaxyd {
namespace {

/// Longer chains are circles: clients give up sooner.
constexpr int kMostSteps = 20;
/// What a request may have behind the mount's path.
constexpr std::array<std::string_view, 3> kSamples{"", "/", "/x"};
/// What a group of a pattern may have found.
constexpr std::array<std::string_view, 3> kGroups{"1", "x", ""};
/// Stands for the host that was asked.
constexpr std::string_view kSameHost = "same.invalid";

/// Something that a client asks for.
struct Place {
  const SiteConfig* site;
  std::string path;  ///< normalised
};

struct Hit {
  const MountConfig* mount = nullptr;  ///< nullptr: not to be decided, or nothing
  std::size_t length = 0;              ///< of the path, up to where the mount ends
};

bool isAt(std::string_view path, std::string_view mount) {
  return mount == "/" ||
         (path.starts_with(mount) && (path.size() == mount.size() || path[mount.size()] == '/'));
}

/// The mount that answers, as the router finds it.
Hit find(const std::vector<MountConfig>& mounts, std::string_view path) {
  Hit best;
  for (const MountConfig& mount : mounts) {
    const std::size_t length = mount.path == "/" ? 0 : mount.path.size();
    if (isAt(path, mount.path) && (best.mount == nullptr || length > best.length)) {
      best = {&mount, length};
    }
  }
  if (best.mount == nullptr || std::holds_alternative<InputArgs>(best.mount->args)) return {};
  const auto* nested = nestedMounts(best.mount->args);
  if (nested == nullptr) return best;
  const Hit inner = find(*nested, path.substr(best.length));
  return {inner.mount, best.length + inner.length};
}

const SiteConfig* siteOf(const Config& config, std::string_view host) {
  const auto named = [&](std::string_view name) -> const SiteConfig* {
    const auto found = std::ranges::find_if(config.sites, [&](const auto& site) {
      return site.host == name || std::ranges::find(site.aliases, name) != site.aliases.end();
    });
    return found == config.sites.end() ? nullptr : &*found;
  };
  if (const auto* exact = named(host)) return exact;
  const std::size_t dot = std::min(host.find('.'), host.size());
  if (const auto* wild = named("*" + std::string(host.substr(dot)))) return wild;
  return named("*");
}

bool listensOn(const Config& config, std::uint16_t port) {
  const auto& addresses = config.listen.gemini;
  return std::ranges::any_of(addresses,
                             [&](const ListenAddress& address) { return address.port == port; });
}

/// `to` as RedirectSite fills it in, without a query.
std::string filledIn(std::string_view to, std::string_view sitePath) {
  const std::array<std::pair<std::string_view, std::string>, 3> values{
      {{"%path%", percentEncodePath(sitePath)},
       {"%query%", ""},
       {"%host%", std::string(kSameHost)}}};
  std::string target;
  while (!to.empty()) {
    const auto* value =
        std::ranges::find_if(values, [&](const auto& each) { return to.starts_with(each.first); });
    target += value == values.end() ? std::string(to.substr(0, 1)) : value->second;
    to.remove_prefix(value == values.end() ? 1 : value->first.size());
  }
  return target;
}

/// `to` of a redirect by pattern, all groups being `group`, without its query.
std::string withGroups(std::string_view to, std::string_view group) {
  std::string target;
  for (std::size_t i = 0; i < to.size() && to[i] != '?'; ++i) {
    const bool isReference = to[i] == '$' && i + 1 < to.size();
    if (!isReference) {
      target += to[i];
    } else if (to[++i] == '$') {
      target += '$';
    } else {
      target += group;
    }
  }
  return target;
}

std::optional<Place> placeAt(const SiteConfig* site, std::string_view rawPath) {
  auto path = normalisePath(rawPath.substr(0, rawPath.find('?')));
  if (site == nullptr || std::holds_alternative<PathError>(path)) return std::nullopt;
  return Place{site, std::get<std::string>(std::move(path))};
}

/// Where `target` sends who asks for `from`; nullopt: away, or not to be decided.
std::optional<Place> follow(const Config& config, const Place& from, const std::string& target) {
  if (target.empty() || target.starts_with('/')) return placeAt(from.site, target);
  if (target.starts_with('?')) return from;
  const std::size_t colon = target.find(':');
  if (colon == std::string::npos || colon > target.find_first_of("/?")) {  // a relative reference
    return placeAt(from.site, from.path.substr(0, from.path.rfind('/') + 1) + target);
  }
  const auto parsed = parseUri(target);
  const auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr || uri->scheme != "gemini") return std::nullopt;
  if (!listensOn(config, uri->port.value_or(kGeminiPort))) return std::nullopt;
  return placeAt(uri->host == kSameHost ? from.site : siteOf(config, uri->host), uri->path);
}

bool isRedirect(const Hit& hit) {
  return hit.mount != nullptr && std::holds_alternative<RedirectArgs>(hit.mount->args);
}

struct Checker {
  const Config& config;
  std::map<const SiteConfig*, RedirectRules> rules = {};  ///< of each site
  Complaints complaints = {};

  /// Where who asks for that is sent; nullopt: it is no redirect, leads away, or cannot be decided.
  std::optional<Place> next(const Place& at) const {
    if (const auto target = rules.at(at.site).find(at.path)) {
      return follow(config, at, target->url.substr(0, target->url.find('?')));
    }
    const Hit hit = find(at.site->mounts, at.path);
    if (!isRedirect(hit)) return std::nullopt;
    const auto& to = std::get<RedirectArgs>(hit.mount->args).to;
    if (to.empty()) return std::nullopt;  // another complaint's
    return follow(config, at, filledIn(to, std::string_view(at.path).substr(hit.length)));
  }

  /// Whether the way from there never ends.
  bool circles(Place at) const {
    for (int step = 0; step < kMostSteps; ++step) {
      auto further = next(at);
      if (!further) return false;
      at = std::move(*further);
    }
    return true;
  }

  void checkMounts(const SiteConfig& site, const std::vector<MountConfig>& mounts,
                   const std::string& above) {
    for (const MountConfig& mount : mounts) {
      const std::string path = above + (mount.path == "/" ? "" : mount.path);
      if (std::holds_alternative<RedirectArgs>(mount.args)) check(site, mount, path);
      if (const auto* nested = nestedMounts(mount.args)) checkMounts(site, *nested, path);
    }
  }

  void check(const SiteConfig& site, const MountConfig& mount, const std::string& path) {
    for (const std::string_view sample : kSamples) {
      const std::string asked = path.empty() && sample.empty() ? "/" : path + std::string(sample);
      if (find(site.mounts, asked).mount != &mount) continue;
      if (rules.at(&site).match(asked) || !circles({&site, asked})) continue;
      return complain(mount.dottedKey + ".to", asked);
    }
  }

  void complain(const std::string& key, const std::string& asked) {
    complaints.push_back(
        {config.where(key),
         fmt::format("sends who asks for \"{}\" in circles: it leads to a redirect that leads "
                     "back; name a place that is no redirect",
                     asked)});
  }

  /// Which paths a pattern matches is not known; looked at is where it leads, and whether it
  /// matches there again.
  void checkPatterns(const SiteConfig& site) {
    for (std::size_t i = 0; i < site.redirects.size(); ++i) {
      for (const std::string_view sample : kGroups) {
        const auto place = follow(config, {&site, "/"}, withGroups(site.redirects[i].to, sample));
        if (!place || place->site != &site) continue;
        const RedirectRules alone(std::vector<PatternRedirect>{site.redirects[i]});
        if (!alone.match(place->path) || !circles(*place)) continue;
        complain(fmt::format("{}.redirects[{}].to", site.dottedKey, i + 1), place->path);
        break;
      }
    }
  }
};

}  // namespace

Complaints checkRedirects(const Config& config) {
  Checker checker{config};
  for (const SiteConfig& site : config.sites) checker.rules.try_emplace(&site, site.redirects);
  for (const SiteConfig& site : config.sites) {
    checker.checkMounts(site, site.mounts, "");
    checker.checkPatterns(site);
  }
  return std::move(checker.complaints);
}

}  // namespace egalaxyd
