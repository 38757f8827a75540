// certificate install: what certbot's deploy hook runs.
#include <Poco/JSON/Array.h>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ostream>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/config/config_loader.h"
#include "common/config/install_place.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_advice.h"
#include "common/tls/certificate_files.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "ctl/base/as_owner.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/control/control_client.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Object;

struct Place : InstallPlace {
  fs::path file;
  bool served = false;  ///< by a server that runs
};

/// Where it belongs, as the running server says, else as the configuration does. With an exit code
/// when the refusal has been printed.
struct PlaceOrExit {
  std::optional<Place> place;
  int exitCode = 0;
};

PlaceOrExit refused(const Invocation& invocation, const Error& error) {
  const int code = complain(invocation, error);
  return {std::nullopt, error.code == ErrorCode::kNotFound ? kExitNoHost : code};
}

PlaceOrExit placeInConfiguration(const Invocation& invocation, const std::string& host) {
  const auto dumped = dumpedConfiguration(likelyConfiguration(), invocation.err);
  if (!dumped) return {std::nullopt, complain(invocation, dumped.error())};
  const Config config = parseConfig(*dumped, "egalaxyd --dump").config;
  const auto place = placeToInstall(config, host);
  if (!place) return refused(invocation, place.error());
  return {Place{*place, AutomaticFiles(config.server.stateDir, place->host).installed, false}, 0};
}

PlaceOrExit placeFor(const Invocation& invocation, const std::string& host) {
  const auto answer = askServer(invocation, {ControlCommand::kInstallPlace, {{"host", host}}});
  const bool noServer = !answer && answer.error().code == ErrorCode::kNotFound;
  if (noServer && !invocation.has("socket")) return placeInConfiguration(invocation, host);
  if (!answer || !(*answer)->optValue("ok", false)) {
    const int code = printAnswer(invocation, answer, nullptr);
    const bool unknown = answer && (*answer)->optValue("unknown_host", false);
    return {std::nullopt, unknown ? kExitNoHost : code};
  }
  Place place;
  place.served = true;
  place.host = (*answer)->optValue<std::string>("host", "");
  // Root believes a server that may have been taken over neither a file's name nor its content.
  const fs::path state = (*answer)->optValue<std::string>("state", "");
  place.file = AutomaticFiles(state, place.host).installed;
  if (const auto names = (*answer)->getArray("names")) {
    for (const auto& name : *names) place.names.push_back(name.toString());
  }
  if (!state.is_absolute() || place.host.empty() || place.host.find('/') != std::string::npos) {
    return refused(invocation, {ErrorCode::kIo, "the server does not say where it belongs"});
  }
  return {place, 0};
}

/// Why clients of `host` would refuse it; "": they do not.
std::string whyUseless(const X509* leaf, const std::string& host, const Place& place) {
  const auto now = std::chrono::system_clock::now();
  if (now > certificateNotAfter(leaf)) {
    return "it expired at " + certificateNotAfterText(leaf) + ": renew it";
  }
  if (now < certificateNotBefore(leaf)) {
    return "it is valid from " + certificateNotBeforeText(leaf) +
           " only: look at this machine's clock";
  }
  if (std::string key = uselessKeyAdvice(leaf); !key.empty()) return key;
  const NamedHosts named(leaf);
  for (const std::string& wanted : {host, place.host}) {
    if (wanted == "*" || named.hold(wanted)) continue;
    return fmt::format("it does not name {}: {}", wanted,
                       wanted == host ? "have one made that does"
                                      : host +
                                            " is served by that site, which has one certificate "
                                            "for all its names");
  }
  return "";
}

Error notOurs(const fs::path& folder, int why) {
  Error error = errnoError("write to " + folder.string(), why);
  error.message += ": run this as root, or as the account of the server";
  return error;
}

/// Whether something was written: what is installed already stays.
Result<bool> install(const KeyedCertificate& identity, const fs::path& file) {
  const fs::path folder = file.parent_path();
  const fs::path state = folder.parent_path();
  struct stat info {};
  if (::stat(state.c_str(), &info) != 0) {
    const int why = errno;
    if (why == EACCES) return notOurs(state, why);
    return Error{ErrorCode::kNotFound,
                 fmt::format("there is no {} yet: start the server once", state.string())};
  }
  const AsOwner owner(info);
  if (owner.failure() != 0) return errnoError("become the owner of " + state.string(), EPERM);
  if (const auto before = readKeyedCertificate(file, file)) {
    if (chainDigest(before->chain) == chainDigest(identity.chain)) return false;
  }
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return notOurs(folder, errno);
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) != 0) {
    return notOurs(folder, errno);
  }
  if (auto written = replaceKeyedCertificate(identity, file); !written) return written.error();
  return true;
}

int tell(const Invocation& invocation, const Place& place, const X509* leaf,
         const std::string& how) {
  if (invocation.has("json")) {
    auto object = describeCertificate(leaf);
    object.set("host", place.host);
    object.set("file", place.file.string());
    object.set("serves", place.served);
    printJson(invocation.out, object);
  } else {
    invocation.out << fmt::format("{}: {}, until {}\n", printable(place.host), how,
                                  certificateNotAfterText(leaf));
  }
  std::vector<std::string> missing;
  const NamedHosts named(leaf);
  for (const std::string& name : place.names) {
    if (!named.hold(name)) missing.push_back(printable(name));
  }
  if (!missing.empty()) {
    invocation.err << fmt::format("egalaxyctl: it does not name {}, where clients may refuse it\n",
                                  fmt::join(missing, ", "));
  }
  return 0;
}

}  // namespace

int installCertificate(const Invocation& invocation) {
  const std::string& host = invocation.arguments.front();
  const auto certificate = invocation.options.find("cert");
  const auto key = invocation.options.find("key");
  if (certificate == invocation.options.end() || key == invocation.options.end()) {
    return refuseLine(invocation, "certificate install",
                      "--cert and --key name the certificate with its chain, and its key");
  }
  const auto identity = readKeyedCertificate(certificate->second, key->second);
  if (!identity) return complain(invocation, identity.error());
  const X509* leaf = identity->chain.front().get();
  const PlaceOrExit found = placeFor(invocation, host);
  if (!found.place) return found.exitCode;
  const Place& place = *found.place;
  if (const std::string why = whyUseless(leaf, host, place); !why.empty()) {
    return complain(invocation, {ErrorCode::kInvalid, certificate->second + ": " + why});
  }
  const auto written = install(*identity, place.file);
  if (!written) return complain(invocation, written.error());
  if (!*written) return tell(invocation, place, leaf, "this certificate is installed already");
  if (!place.served) return tell(invocation, place, leaf, "installed for the server's next start");
  const auto renewed = askServer(invocation, ControlCommand::kRenew);
  if (!renewed || !(*renewed)->optValue("ok", false)) {
    invocation.err << "egalaxyctl: installed, but not taken up:\n";
    return printAnswer(invocation, renewed, nullptr);
  }
  return tell(invocation, place, leaf, "installed, and served");
}

}  // namespace egalaxyd::ctl
