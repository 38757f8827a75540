#include "ctl/configured_certificates.h"

#include <Poco/JSON/Array.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/certificate.h"
#include "common/certificate_files.h"
#include "common/certificate_json.h"
#include "common/control_protocol.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

std::filesystem::path fileOf(const SiteConfig& site, const Config& config) {
  if (!site.certificate.empty()) return site.certificate;
  if (!config.tls.certificate.empty()) return config.tls.certificate;
  return AutomaticFiles(config.server.stateDir, site.host).certificate;
}

Object rowOf(const std::filesystem::path& file) {
  const auto chain = readCertificates(file);
  if (chain) return describeCertificate(chain->front().get());
  Object row = jsonObject();
  row.set("error", chain.error().message);
  return row;
}

}  // namespace

Object configuredCertificates(const Config& config) {
  std::vector<std::filesystem::path> files;
  std::map<std::filesystem::path, Array> hosts;
  const auto add = [&](const std::filesystem::path& file) -> Array& {
    if (!hosts.contains(file)) files.push_back(file);
    return hosts[file];
  };
  if (!config.tls.certificate.empty()) add(config.tls.certificate);
  for (const SiteConfig& site : config.sites) {
    Array& names = add(fileOf(site, config));
    names.add(site.host);
    for (const std::string& alias : site.aliases) names.add(alias);
  }
  Array rows;
  for (const auto& file : files) {
    Object row = rowOf(file);
    row.set("hosts", hosts[file]);
    row.set("file", file.string());
    rows.add(row);
  }
  Object answer = jsonObject();
  answer.set("ok", true);
  answer.set("total", rows.size());
  answer.set("certificates", rows);
  return answer;
}

}  // namespace egalaxyd
