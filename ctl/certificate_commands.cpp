#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/certificate.h"
#include "common/certificate_names.h"
#include "ctl/command_table.h"
#include "ctl/json_output.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

Poco::JSON::Object jsonOf(const X509* certificate) {
  Poco::JSON::Array names;
  for (const std::string& name : certificateNames(certificate)) names.add(name);
  auto object = jsonObject();
  object.set("subject", certificateSubject(certificate));
  object.set("names", names);
  object.set("not_before", certificateNotBeforeText(certificate));
  object.set("not_after", certificateNotAfterText(certificate));
  object.set("sha256", certificateFingerprint(certificate));
  object.set("public_key_sha256", publicKeyFingerprint(certificate));
  return object;
}

std::string validity(const X509* certificate) {
  const auto now = std::chrono::system_clock::now();
  if (now < certificateNotBefore(certificate)) return " (not valid yet)";
  if (now > certificateNotAfter(certificate)) return " (expired)";
  return "";
}

void printFor(std::ostream& out, const X509* certificate) {
  const std::pair<const char*, std::string> rows[] = {
      {"subject", certificateSubject(certificate)},
      {"names", fmt::format("{}", fmt::join(certificateNames(certificate), " "))},
      {"not before", certificateNotBeforeText(certificate)},
      {"not after", certificateNotAfterText(certificate) + validity(certificate)},
      {"SHA-256", certificateFingerprint(certificate)},
      {"public key", publicKeyFingerprint(certificate)}};
  for (const auto& [name, value] : rows) out << fmt::format("{:<12}{}\n", name, value);
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
    auto object = jsonOf(leaf);
    object.set("certificate", certificate.string());
    object.set("key", key.string());
    printJson(invocation.out, object);
  } else {
    invocation.out << fmt::format("certificate = \"{}\"\nkey         = \"{}\"\n# SHA-256 {}\n",
                                  certificate.string(), key.string(), certificateFingerprint(leaf));
  }
  return 0;
}

int showCertificate(const Invocation& invocation) {
  const auto chain = readCertificates(invocation.arguments.front());
  if (!chain) return complain(invocation, chain.error());
  if (invocation.has("json")) {
    Poco::JSON::Array all;
    for (const X509Ptr& certificate : *chain) all.add(jsonOf(certificate.get()));
    printJson(invocation.out, all);
    return 0;
  }
  for (const X509Ptr& certificate : *chain) {
    if (&certificate != &chain->front()) invocation.out << '\n';
    printFor(invocation.out, certificate.get());
  }
  return 0;
}

}  // namespace egalaxyd
