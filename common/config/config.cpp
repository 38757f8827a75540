#include "common/config/config.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "common/config/configuration_files.h"
#include "common/wire/uri.h"

namespace egalaxyd {

Complaint complaintOf(std::string where, const Error& error) {
  return {std::move(where), error.message, mayPass(error.code)};
}

std::vector<Cidr> loopbackNetworks() { return {*Cidr::parse("127.0.0.0/8"), *Cidr::parse("::1")}; }

bool isLoopbackHost(const std::string& host) {
  const auto parsed = IpAddress::parse(host);
  if (!parsed) return host == "localhost";
  const auto networks = loopbackNetworks();
  return std::ranges::any_of(networks,
                             [&](const Cidr& network) { return network.contains(*parsed); });
}

std::string ListenAddress::text() const { return fmt::format("{}:{}", hostInUrl(host), port); }

bool AuthenticatedArgs::operator==(const AuthenticatedArgs&) const = default;
bool InputArgs::operator==(const InputArgs&) const = default;

bool MountConfig::operator==(const MountConfig& other) const {
  return path == other.path && args == other.args;
}

const std::vector<MountConfig>* nestedMounts(const ModuleArgs& args) {
  if (const auto* authenticated = std::get_if<AuthenticatedArgs>(&args)) {
    return &authenticated->sites;
  }
  const auto* input = std::get_if<InputArgs>(&args);
  return input == nullptr ? nullptr : &input->sites;
}

std::vector<MountConfig>* nestedMounts(ModuleArgs& args) {
  return const_cast<std::vector<MountConfig>*>(nestedMounts(std::as_const(args)));  // NOLINT
}

std::string Config::where(const std::string& key) const {
  const auto place = lines.find(key);
  if (place != lines.end() && place->second.line != kOnCommandLine) {
    return fmt::format("{}: {}", where(place->second), key);
  }
  return file.empty() ? key : fmt::format("{}: {}", file.string(), key);
}

std::string Config::where(const KeyPlace& place) const {
  const std::filesystem::path& name = place.file == 0 ? file : included.at(place.file - 1);
  return fmt::format("{}:{}", name.string(), place.line);
}

std::vector<SiteConfig> sitesWithCertificates(const Config& config) {
  if (!config.sites.empty() || config.router.module.empty()) return config.sites;
  SiteConfig any;
  any.host = "*";
  any.where = config.where("router.module");
  return {any};
}

}  // namespace egalaxyd
