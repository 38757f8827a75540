// certificate sync: what the unit runs before the server, so that all hosts show one certificate.
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "common/base/environment.h"
#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/cluster/own_sight.h"
#include "common/config/site_names.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_files.h"
#include "common/tls/certificate_names.h"
#include "ctl/base/as_owner.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/shared_database.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

/// A site whose certificate nobody gave: the hosts have to agree.
struct Wanted {
  std::string host;
  std::vector<std::string> names;
  AutomaticFiles files;
  bool isHere = false;
};

std::vector<Wanted> wantedOf(const Config& config) {
  std::vector<Wanted> wanted;
  if (!config.tls.certificate.empty() || !config.tls.autoCertificates) return wanted;
  std::error_code ignored;
  for (const SiteConfig& site : sitesWithCertificates(config)) {
    const AutomaticFiles files(config.server.stateDir, site.host);
    const bool automatic = files.inUse().origin == CertificateOrigin::kAutomatic;
    if (!site.certificate.empty() || !automatic) continue;
    wanted.push_back(
        {site.host, automaticNames(site), files, fs::exists(files.certificate, ignored)});
  }
  return wanted;
}

Result<void> keep(const KeyedCertificate& identity, const AutomaticFiles& files) {
  struct stat info {};
  const fs::path state = files.folder.parent_path();
  if (::stat(state.c_str(), &info) != 0) return errnoError("look at " + state.string(), errno);
  const AsOwner owner(info);
  if (owner.failure() != 0) return errnoError("become the owner of " + state.string(), EPERM);
  if (::mkdir(files.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errnoError("make the folder " + files.folder.string(), errno);
  }
  return writeKeyedCertificate(identity, files.certificate, files.key);
}

std::string fingerprintOf(const KeyedCertificate& identity) {
  return certificateFingerprint(identity.chain.front().get());
}

struct Agreed {
  Wanted wanted;
  KeyedCertificate own;  ///< this host's, or what it would have made
  std::optional<KeyedCertificate> shared;
};

Result<std::vector<Agreed>> ownOf(std::vector<Wanted> wanted) {
  std::vector<Agreed> all;
  for (Wanted& each : wanted) {
    auto own = each.isHere ? readKeyedCertificate(each.files.certificate, each.files.key)
                           : makeSelfSigned(each.names);
    if (!own) return own.error();
    all.push_back({std::move(each), std::move(*own), std::nullopt});
  }
  return all;
}

Result<void> share(DatabaseLink& link, Agreed& one) {
  const auto pem = toPem(one.own);
  if (!pem) return pem.error();
  const auto row =
      link.shareCertificate({one.wanted.host, pem->certificate, pem->key, unixTime(wallNow())});
  if (!row) return row.error();
  auto shared = fromPem({row->certificate, row->key},
                        "the certificate of " + one.wanted.host + " in the database");
  if (!shared) return shared.error();
  one.shared = std::move(*shared);
  return {};
}

Result<void> shareAll(const Config& config, std::vector<Agreed>& all) {
  const auto database = openSharedDatabase(config);
  if (!database) return database.error();
  OwnSight sight;
  const auto link = database->engine->openLink(database->access, sight);
  if (!link) return link.error();
  for (Agreed& each : all) {
    if (auto shared = share(**link, each); !shared) return shared;
  }
  return {};
}

void tellDifference(const Invocation& invocation, const Agreed& one) {
  invocation.err << fmt::format(
      "egalaxyctl: {}: this host's certificate is not the one that the others show, and neither "
      "replaces the other:\n  {}  {}\n  {}  in the database\nClients that know the database's "
      "would be warned of this host. Where that one is right, move this host's two files away and "
      "run this again.\n",
      printable(one.wanted.host), fingerprintOf(one.own), one.wanted.files.certificate.string(),
      fingerprintOf(*one.shared));
}

/// "same", "written" or "differs".
Result<std::string> settle(const Invocation& invocation, const Agreed& one) {
  if (!one.wanted.isHere) {
    const auto kept = keep(*one.shared, one.wanted.files);
    return kept ? Result<std::string>("written") : kept.error();
  }
  if (chainDigest(one.own.chain) == chainDigest(one.shared->chain)) return std::string("same");
  tellDifference(invocation, one);
  return std::string("differs");
}

/// The exit code.
Result<int> settleAll(const Invocation& invocation, const std::vector<Agreed>& all) {
  Poco::JSON::Array rows;
  int code = 0;
  for (const Agreed& each : all) {
    const auto state = settle(invocation, each);
    if (!state) return state.error();
    if (*state == "differs") code = kExitConfiguration;
    const std::string sha256 = fingerprintOf(*each.shared);
    Poco::JSON::Object row = jsonObject();
    row.set("host", each.wanted.host);
    row.set("state", *state);
    row.set("sha256", sha256);
    rows.add(row);
    if (!invocation.has("json")) {
      invocation.out << fmt::format("{}: {}, SHA-256 {}\n", printable(each.wanted.host), *state,
                                    sha256);
    }
  }
  if (invocation.has("json")) printJson(invocation.out, rows);
  return code;
}

/// The unit's own step before its server, which says itself what is wrong with a configuration; by
/// the unit's shell, or by itself.
bool isOfTheUnit() {
  const auto unit = environmentVariable("SYSTEMD_EXEC_PID");
  return unit == std::to_string(::getpid()) || unit == std::to_string(::getppid());
}

}  // namespace

int syncCertificates(const Invocation& invocation) {
  const auto config = namedConfiguration(invocation);
  if (!config) return isOfTheUnit() ? 0 : complain(invocation, config.error());
  if (config->storage.engine == StorageKind::kSqlite) return 0;
  auto certificates = wantedOf(*config);
  if (certificates.empty()) return 0;
  const bool allHere = std::ranges::all_of(certificates, &Wanted::isHere);
  auto all = ownOf(std::move(certificates));
  if (!all) return complain(invocation, all.error());
  const auto shared = shareAll(*config, *all);
  const auto settled = shared ? settleAll(invocation, *all) : Result<int>(shared.error());
  if (settled) return *settled;
  const int code = complain(invocation, settled.error());
  if (!allHere) return code;
  invocation.err << "egalaxyctl: this host's certificates stay as they are\n";
  return 0;
}

}  // namespace egalaxyd::ctl
