// Who gets what of the status page: a request's line and headers are judged here. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/config/config.h"

namespace egalaxyd {

enum class StatusPart {
  kPage,     ///< "/": for people
  kFigures,  ///< "/status.json": what the page shows
  kMetrics,  ///< "/metrics": for Prometheus
  kHealth,   ///< "/healthz": whether the server serves
};

/// As a client sent it; nothing of it is believed.
struct StatusRequest {
  std::string_view method;
  std::string_view target;
  std::string_view host;           ///< the header; "": there was none
  std::string_view authorization;  ///< likewise
};

struct StatusVerdict {
  int status = 200;  ///< else a failure of HTTP's, and `part` means nothing
  StatusPart part = StatusPart::kPage;
  /// What is answered instead, for people.
  std::string_view refusal = {};
  /// "since" of the query: samples up to this one are known to the client.
  std::uint64_t since = 0;
};

/// With a token, all but /healthz is for those who send it, as "Bearer TOKEN" or as the password of
/// "Basic". Without one, whoever reaches the address may look, but no browser on behalf of a
/// foreign web page: that may have had its own name point here (DNS rebinding), which Host tells.
StatusVerdict judge(const StatusRequest& request, const TokenDigest& token);

}  // namespace egalaxyd
