#include "ctl/commands/configured_certificates.h"

#include <Poco/JSON/Array.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/tls/certificate.h"
#include "common/tls/certificate_files.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

CertificateFiles filesOf(const SiteConfig& site, const Config& config) {
  if (!site.certificate.empty()) return {site.certificate, site.key};
  if (!config.tls.certificate.empty()) return {config.tls.certificate, config.tls.key};
  return AutomaticFiles(config.server.stateDir, site.host).inUse();
}

struct Row {
  std::chrono::system_clock::time_point end;
  Object object;
};

Row rowOf(const std::filesystem::path& file) {
  const auto chain = readCertificates(file);
  if (chain) {
    const X509* leaf = chain->front().get();
    return {certificateNotAfter(leaf), describeCertificate(leaf)};
  }
  Row row{std::chrono::system_clock::time_point::max(), jsonObject()};
  row.object.set("error", chain.error().message);
  return row;
}

}  // namespace

Object configuredCertificates(const Config& config) {
  std::vector<std::filesystem::path> files;
  std::map<std::filesystem::path, Array> hosts;
  std::map<std::filesystem::path, CertificateOrigin> origins;  // of those that are not configured
  const auto add = [&](const std::filesystem::path& file) -> Array& {
    if (!hosts.contains(file)) files.push_back(file);
    return hosts[file];
  };
  if (!config.tls.certificate.empty()) add(config.tls.certificate);
  for (const SiteConfig& site : sitesWithCertificates(config)) {
    const CertificateFiles used = filesOf(site, config);
    origins[used.certificate] = used.origin;
    Array& names = add(used.certificate);
    names.add(site.host);
    for (const std::string& alias : site.aliases) names.add(alias);
  }
  std::vector<Row> found;
  for (const auto& file : files) {
    found.push_back(rowOf(file));
    found.back().object.set("hosts", hosts[file]);
    found.back().object.set("file", file.string());
    found.back().object.set("origin", nameOf(origins[file]));
  }
  std::ranges::stable_sort(found, {}, &Row::end);
  Array rows;
  for (const Row& row : found) rows.add(row.object);
  Object answer = jsonObject();
  answer.set("ok", true);
  answer.set("total", rows.size());
  answer.set("certificates", rows);
  return answer;
}

}  // namespace egalaxyd::ctl
