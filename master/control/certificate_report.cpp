#include "master/control/certificate_report.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/config/install_place.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

using Poco::JSON::Array;
using Poco::JSON::Object;

namespace {

/// Unix time and index of each, the one that ends first comes first.
std::vector<std::pair<std::int64_t, std::size_t>> byEnd(
    const std::vector<ServedCertificate>& served) {
  std::vector<std::pair<std::int64_t, std::size_t>> order;
  for (std::size_t i = 0; i < served.size(); ++i) {
    order.emplace_back(certificateNotAfterUnix(served[i].leaf), i);
  }
  std::ranges::sort(order);
  return order;
}

}  // namespace

Array describeCertificateEnds(const ServingPlan& plan) {
  const auto served = servedCertificates(plan);
  Array rows;
  for (const auto& [end, index] : byEnd(served)) {
    for (const std::string& host : served[index].hosts) {
      if (rows.size() == kMostControlRows) return rows;
      Object row = jsonObject();
      row.set("host", host);
      row.set("not_after", end);
      rows.add(row);
    }
  }
  return rows;
}

Object describeCertificates(const ServingPlan& plan) {
  const auto served = servedCertificates(plan);
  auto order = byEnd(served);
  if (order.size() > kMostControlRows) order.resize(kMostControlRows);
  Array rows;
  for (const auto& [end, index] : order) {
    Object row = describeCertificate(served[index].leaf);
    row.set("hosts", jsonArray(served[index].hosts));
    row.set("file", served[index].file.string());
    row.set("origin", nameOf(served[index].origin));
    rows.add(row);
  }
  Object answer = controlSuccess();
  answer.set("total", served.size());
  answer.set("certificates", rows);
  return answer;
}

Object describeInstallPlace(const Config& config, const std::string& host) {
  const auto place = placeToInstall(config, host);
  Object answer = place ? controlSuccess() : controlFailure(place.error().message);
  if (place) {
    answer.set("host", place->host);
    answer.set("names", jsonArray(place->names));
    std::error_code ignored;  // then it stays as it was given
    answer.set("state", std::filesystem::absolute(config.server.stateDir, ignored).string());
  } else {
    answer.set("unknown_host", place.error().code == ErrorCode::kNotFound);
  }
  return answer;
}

}  // namespace egalaxyd
