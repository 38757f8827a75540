#include <Poco/JSON/Array.h>
#include <Poco/JSON/Parser.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/base/poco_seam.h"
#include "common/config/config_loader.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/commands/configured_certificates.h"
#include "ctl/control/control_client.h"
#include "ctl/control/server_program.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;
using Poco::JSON::Object;

std::string remark(const X509* certificate) {
  const auto validity = describeCertificate(certificate).getValue<std::string>("validity");
  if (validity == "valid") return "";
  return validity == "not yet" ? " (not valid yet)" : " (" + validity + ")";
}

std::string wordsOf(const Object& object, const std::string& name) {
  std::string words;
  const auto list = object.getArray(name);
  if (list.isNull()) return "-";
  for (const auto& each : *list) {
    words += (words.empty() ? "" : " ") + printable(each.toString());
  }
  return words.empty() ? "-" : words;
}

void printFor(std::ostream& out, const X509* certificate) {
  const std::pair<const char*, std::string> rows[] = {
      {"subject", certificateSubject(certificate)},
      {"names", fmt::format("{}", fmt::join(certificateNames(certificate), " "))},
      {"not before", certificateNotBeforeText(certificate)},
      {"not after", certificateNotAfterText(certificate) + remark(certificate)},
      {"SHA-256", certificateFingerprint(certificate)},
      {"public key", publicKeyFingerprint(certificate)}};
  for (const auto& [name, value] : rows) {
    out << fmt::format("{:<12}{}\n", name, printable(value));
  }
}

void printServed(const Invocation& invocation, const Object& answer) {
  const auto rows = answer.getArray("certificates");
  for (std::size_t i = 0; i < rows->size(); ++i) {
    const auto row = rows->getObject(static_cast<unsigned>(i));
    const std::string validity = cellOf(*row, "validity");
    const bool usual = validity == "valid" || validity == "-";
    const std::pair<const char*, std::string> lines[] = {
        {"file", cellOf(*row, "file")},
        {"hosts", wordsOf(*row, "hosts")},
        {"from", cellOf(*row, "origin")},
        {"names", wordsOf(*row, "names")},
        {"not after", cellOf(*row, "not_after") + (usual ? "" : "  " + validity)},
        {"SHA-256", cellOf(*row, "sha256")},
        {"error", cellOf(*row, "error")}};
    if (i > 0) invocation.out << '\n';
    for (const auto& [name, value] : lines) {
      if (value != "-") invocation.out << fmt::format("{:<12}{}\n", name, value);
    }
  }
  const auto total = answer.getValue<std::size_t>("total");
  if (total > rows->size()) {
    invocation.out << fmt::format("\nand {} more, which end later\n", total - rows->size());
  }
}

}  // namespace

int createCertificate(const Invocation& invocation) {
  const auto& names = invocation.arguments;
  const auto dir = invocation.options.find("dir");
  std::error_code ignored;  // then the path stays as it was given
  const fs::path folder =
      fs::absolute(dir == invocation.options.end() ? "." : dir->second, ignored).lexically_normal();
  const auto made = makeSelfSigned(names);
  if (!made) return complain(invocation, made.error());
  const fs::path certificate = folder / (certificateFileStem(names.front()) + ".crt");
  const fs::path key = folder / (certificateFileStem(names.front()) + ".key");
  if (const auto written = writeKeyedCertificate(*made, certificate, key); !written) {
    return complain(invocation, written.error());
  }
  const X509* leaf = made->chain.front().get();
  if (invocation.has("json")) {
    auto object = describeCertificate(leaf);
    object.set("certificate", certificate.string());
    object.set("key", key.string());
    printJson(invocation.out, object);
  } else {
    invocation.out << fmt::format("certificate = \"{}\"\nkey         = \"{}\"\n# SHA-256 {}\n",
                                  certificate.string(), key.string(), certificateFingerprint(leaf));
  }
  return 0;
}

int listCertificates(const Invocation& invocation) {
  const auto served = askServer(invocation, ControlCommand::kCertificates);
  const bool noServer = !served && served.error().code == ErrorCode::kNotFound;
  if (!noServer || invocation.has("socket")) {
    return printAnswer(invocation, served, &printServed);
  }
  const LikelyConfiguration likely = likelyConfiguration();
  const auto dumped = dumpedConfiguration(likely, invocation.err);
  if (!dumped) return complain(invocation, dumped.error());
  const Object answer = configuredCertificates(parseConfig(*dumped, "egalaxyd --dump").config);
  if (invocation.has("json")) {
    printJson(invocation.out, answer);
    return 0;
  }
  invocation.err << "egalaxyctl: no server runs; those of " << printable(likely.name) << " are:\n";
  const auto printed = guarded("the configuration", [&] {
    // What was read has other types than what was put together.
    Poco::JSON::Parser parser;
    printServed(invocation, *parser.parse(encodeControlAnswer(answer)).extract<Object::Ptr>());
  });
  return printed ? 0 : complain(invocation, printed.error());
}

int showCertificate(const Invocation& invocation) {
  const auto chain = readCertificates(invocation.arguments.front());
  if (!chain) return complain(invocation, chain.error());
  if (invocation.has("json")) {
    Poco::JSON::Array all;
    for (const X509Ptr& certificate : *chain) all.add(describeCertificate(certificate.get()));
    printJson(invocation.out, all);
    return 0;
  }
  for (const X509Ptr& certificate : *chain) {
    if (&certificate != &chain->front()) invocation.out << '\n';
    printFor(invocation.out, certificate.get());
  }
  return 0;
}

}  // namespace egalaxyd::ctl
