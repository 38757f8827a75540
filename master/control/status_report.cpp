#include "master/control/status_report.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <variant>

#include "common/base/version.h"
#include "common/storage/sqlite_storage.h"
#include "common/wire/control_protocol.h"
#include "master/control/database_report.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Array;
using Poco::JSON::Object;

/// Roots and files in an answer.
constexpr std::size_t kMostAway = 100;

/// The libraries that are loaded, which may be newer than those of the build. The workers are
/// forks.
Object describeLibraries() {
  Object libraries = jsonObject();
  libraries.set("openssl", std::string(OpenSSL_version(OPENSSL_VERSION_STRING)));
  libraries.set("sqlite", std::string(sqliteVersion()));
  return libraries;
}

Array describeListeners(const ListenerSet& set) {
  Array listeners;
  for (const ListenerSet::Listener& listener : set.listeners()) {
    for (const auto& socket : listener.sockets) {
      Object object = jsonObject();
      object.set("address", ListenAddress{listener.address.host, localPort(socket->get())}.text());
      object.set("protocols", std::string(protocolsOf(listener.kind)));
      object.set("listening", socket->listens());
      listeners.add(object);
    }
  }
  return listeners;
}

Array describeWorkers(const MasterView& master) {
  Array workers;
  for (const auto& [view, process] : master.workers) {
    Object object = jsonObject();
    object.set("slot", view.key.number);
    object.set("generation", view.key.generation);
    object.set("state", std::string(nameOf(view.state)));
    if (process) {
      object.set("pid", static_cast<std::int64_t>(process->pid));
      object.set("since", unixTime(process->since.time));
      object.set("age", process->since.age());
      object.set("connections",
                 master.shared.slot(process->sharedSlot).value(Gauge::kOpenConnections));
    }
    object.set("restarts", view.restarts);
    object.set("last_cause", view.lastCause);
    workers.add(object);
  }
  return workers;
}

void addSites(std::set<std::string>& sites, const std::string& prefix, const fs::path& path,
              const std::vector<MountConfig>& mounts) {
  for (const MountConfig& mount : mounts) {
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    const auto* file = std::get_if<FileArgs>(&mount.args);
    if ((directory != nullptr && directory->root == path) ||
        (file != nullptr && file->path == path)) {
      sites.insert(prefix + mount.path);
    }
    const std::string inner = mount.path == "/" ? prefix : prefix + mount.path;
    if (const auto* nested = nestedMounts(mount.args)) addSites(sites, inner, path, *nested);
  }
}

/// "example.org/", "example.org/wiki".
std::set<std::string> sitesOf(const Config& config, const fs::path& path) {
  std::set<std::string> sites;
  for (const SiteConfig& site : config.sites) addSites(sites, site.host, path, site.mounts);
  return sites;
}

Array describeAway(const MasterView& master) {
  Array away;
  std::set<fs::path> told;
  for (const ServedPlace& place : master.away) {
    if (away.size() == kMostAway || !told.insert(place.path).second) continue;
    Object object = jsonObject();
    object.set("path", place.path.string());
    object.set("error", place.presence.why);
    Array sites;
    for (const std::string& site : sitesOf(master.current.config, place.path)) sites.add(site);
    object.set("sites", sites);
    away.add(object);
  }
  return away;
}

}  // namespace

Object describeStatus(const MasterView& master, const std::optional<ReloadFailure>& failure) {
  Object answer = controlSuccess();
  answer.set("version", std::string(kVersion));
  answer.set("libraries", describeLibraries());
  answer.set("pid", static_cast<std::int64_t>(::getpid()));
  answer.set("state", std::string(nameOf(master.state)));
  answer.set("started", unixTime(master.started.time));
  answer.set("uptime", master.started.age());
  answer.set("generation", master.serving);
  answer.set("configuration", master.current.config.file.string());
  answer.set("included", master.current.config.included.size());
  answer.set("listeners",
             master.serving == 0 ? Array() : describeListeners(master.current.listeners));
  answer.set("workers", describeWorkers(master));
  answer.set("storage", describeStorage(master));
  answer.set("away", describeAway(master));
  if (!master.certificateTroubles.empty()) {
    answer.set("certificate_troubles", jsonArray(master.certificateTroubles));
  }
  if (failure) {
    Object object = jsonObject();
    object.set("time", unixTime(failure->when));
    object.set("complaints", jsonArray(failure->complaints));
    answer.set("reload_failure", object);
  }
  return answer;
}

}  // namespace egalaxyd
