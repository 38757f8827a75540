// What the control socket asks of the database, and who is rate-limited, and which certificates
// serve.
#include <Poco/JSON/Array.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "common/storage/schema.h"
#include "common/storage/sqlite_storage.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "master/child/database.h"
#include "master/child/storage_query.h"
#include "master/master_process.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

/// How long a query may wait for a worker's write.
constexpr auto kBusyTimeout = std::chrono::seconds(5);

/// What the process of a query does: as a worker it may reach the database and nothing else.
Object askStorage(const StorageQuery& query, const Config& config,
                  const std::optional<Account>& account) {
  if (auto confined = confineToDatabase(config.server, account); !confined) {
    return controlFailure(confined.error().message);
  }
  const auto storage = openSqliteStorage(config.server.stateDir / kDatabaseFile, kBusyTimeout);
  if (!storage) return controlFailure(storage.error().message);
  return answerStorageQuery(query, **storage);
}

RatePolicy policyOf(const RateLimitConfig& config) {
  return {.requests = config.requests, .per = config.per, .penalty = config.penalty};
}

/// Why the table of rate limits has no say; "" when it has.
std::string_view unlimited(const RateLimitConfig& config) {
  if (!config.enabled) return "rate_limit.enabled is false";
  return config.module.empty() ? ""
                               : "a plug-in decides (rate_limit.module), and it keeps its list";
}

}  // namespace

/// The generation that serves; before the first one does, that one.
const Generation& Master::current() const {
  const Generation* serving = generationOf(supervisor_.serving());
  return serving == nullptr ? *generations_.begin()->second : *serving;
}

/// Answered by a process of its own.
void Master::controlQuery(ClientId client, const ControlRequest& request) {
  const auto query = readStorageQuery(request);
  if (!query) return control_->answer(client, controlFailure(query.error().message));
  const Generation& generation = current();
  const auto ask = [&] {
    return encodeControlAnswer(askStorage(*query, generation.config, generation.account));
  };
  auto running = queries_->run(ask, [this, client](Result<std::string> line) {
    if (line) return control_->answerLine(client, *line);
    spdlog::warn("control: {}", line.error().message);
    control_->answer(client, controlFailure(line.error().message));
  });
  if (!running) control_->answer(client, controlFailure(running.error().message));
}

Object Master::describeLimits() const {
  const RateLimitConfig& config = current().config.rateLimit;
  const std::string_view off = unlimited(config);
  RateTable::Limited limited;
  if (off.empty()) limited = shared_->rateLimited(policyOf(config), kMostControlRows);
  std::ranges::sort(limited.clients, std::greater(), &LimitedClient::remaining);
  Array rows;
  const auto now = std::chrono::system_clock::now();
  for (const LimitedClient& each : limited.clients) {
    const auto until = std::chrono::ceil<std::chrono::seconds>(now + each.remaining);
    Object row = jsonObject();
    row.set("address", limitText(each.address));
    row.set("until", until.time_since_epoch().count());
    row.set("seconds", std::chrono::ceil<std::chrono::seconds>(each.remaining).count());
    row.set("refused", each.refused);
    row.set("refused_more", each.refused == RateTable::kMostRefused);
    rows.add(row);
  }
  Object answer = jsonObject();
  answer.set("ok", true);
  if (!off.empty()) answer.set("off", std::string(off));
  answer.set("total", limited.total);
  answer.set("limits", rows);
  return answer;
}

Object Master::clearLimits(const ControlRequest& request) {
  const RateLimitConfig& config = current().config.rateLimit;
  const std::string address = request.argument("address");
  const auto client = parseLimitText(address);
  if (request.arguments.contains("address") && !client) {
    return controlFailure("\"" + address +
                          "\" is no address: 192.0.2.1, 2001:db8::1 or 2001:db8::/64");
  }
  if (const auto off = unlimited(config); !off.empty()) return controlFailure(std::string(off));
  const std::size_t cleared = shared_->clearRateLimits(policyOf(config), client);
  if (client && cleared == 0) return controlFailure(limitText(*client) + " is not rate-limited");
  spdlog::info("control: {} rate limit{} cleared", cleared, cleared == 1 ? "" : "s");
  Object answer = jsonObject();
  answer.set("ok", true);
  answer.set("cleared", cleared);
  return answer;
}

/// Those that end first come first, and are what stays of a long list.
Object Master::describeCertificates() const {
  const auto served = servedCertificates(*current().plan);
  std::vector<std::pair<std::chrono::system_clock::time_point, std::size_t>> order;
  for (std::size_t i = 0; i < served.size(); ++i) {
    order.emplace_back(certificateNotAfter(served[i].leaf), i);
  }
  std::ranges::sort(order);
  Array rows;
  for (const auto& [end, index] : order) {
    if (rows.size() == kMostControlRows) break;
    Array hosts;
    for (const std::string& host : served[index].hosts) hosts.add(host);
    Object row = describeCertificate(served[index].leaf);
    row.set("hosts", hosts);
    row.set("file", served[index].file.string());
    rows.add(row);
  }
  Object answer = jsonObject();
  answer.set("ok", true);
  answer.set("total", served.size());
  answer.set("certificates", rows);
  return answer;
}

}  // namespace egalaxyd
