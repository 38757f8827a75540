#include "master/control/limit_report.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <functional>

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

RatePolicy policyOf(const RateLimitConfig& config) {
  return {.requests = config.requests, .per = config.per, .penalty = config.penalty};
}

/// Why the table of rate limits decides nothing; "" when it decides.
std::string unlimited(const RateLimitConfig& config) {
  if (!config.enabled) return "rate_limit.enabled is false";
  return config.module.empty() ? ""
                               : "a plug-in decides (rate_limit.module), and it keeps its list";
}

Object describe(const LimitedClient& client, std::chrono::system_clock::time_point now) {
  Object row = jsonObject();
  row.set("address", limitText(client.address));
  row.set("until", unixTime(std::chrono::ceil<std::chrono::seconds>(now + client.remaining)));
  row.set("seconds", std::chrono::ceil<std::chrono::seconds>(client.remaining).count());
  row.set("refused", client.refused);
  row.set("refused_more", client.refused == RateTable::kMostRefused);
  return row;
}

}  // namespace

Object describeLimits(const SharedState& shared, const RateLimitConfig& config) {
  const std::string off = unlimited(config);
  RateTable::Limited limited;
  if (off.empty()) limited = shared.rateLimited(policyOf(config), kMostControlRows);
  std::ranges::sort(limited.clients, std::greater(), &LimitedClient::remaining);
  Array rows;
  const auto now = std::chrono::system_clock::now();
  for (const LimitedClient& client : limited.clients) rows.add(describe(client, now));
  Object answer = controlSuccess();
  if (!off.empty()) answer.set("off", off);
  answer.set("total", limited.total);
  answer.set("limits", rows);
  return answer;
}

Object clearLimits(const ControlRequest& request, SharedState& shared,
                   const RateLimitConfig& config) {
  const std::string address = request.argument("address");
  const auto client = parseLimitText(address);
  if (request.arguments.contains("address") && !client) {
    return controlFailure("\"" + address +
                          "\" is no address: 192.0.2.1, 2001:db8::1 or 2001:db8::/64");
  }
  if (const std::string off = unlimited(config); !off.empty()) return controlFailure(off);
  const std::size_t cleared = shared.clearRateLimits(policyOf(config), client);
  if (client && cleared == 0) return controlFailure(limitText(*client) + " is not rate-limited");
  spdlog::info("control: {} rate limit{} cleared", cleared, cleared == 1 ? "" : "s");
  Object answer = controlSuccess();
  answer.set("cleared", cleared);
  return answer;
}

}  // namespace egalaxyd
