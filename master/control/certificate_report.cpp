#include "master/control/certificate_report.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "common/wire/control_protocol.h"

namespace egalaxyd {

using Poco::JSON::Array;
using Poco::JSON::Object;

Object describeCertificates(const ServingPlan& plan) {
  const auto served = servedCertificates(plan);
  std::vector<std::pair<std::chrono::system_clock::time_point, std::size_t>> order;
  for (std::size_t i = 0; i < served.size(); ++i) {
    order.emplace_back(certificateNotAfter(served[i].leaf), i);
  }
  std::ranges::sort(order);
  if (order.size() > kMostControlRows) order.resize(kMostControlRows);
  Array rows;
  for (const auto& [end, index] : order) {
    Object row = describeCertificate(served[index].leaf);
    row.set("hosts", jsonArray(served[index].hosts));
    row.set("file", served[index].file.string());
    rows.add(row);
  }
  Object answer = controlSuccess();
  answer.set("total", served.size());
  answer.set("certificates", rows);
  return answer;
}

}  // namespace egalaxyd
