#include "worker/site/answers.h"

#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <utility>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "worker/site/client_certificate.h"

namespace egalaxyd {

std::string encodeQuery(std::string_view rawQuery) {
  std::string query;
  for (std::size_t i = 0; i < rawQuery.size(); ++i) {
    const bool kept = rawQuery[i] == '%' || rawQuery[i] == '?' || rawQuery[i] == ';';
    query += kept ? std::string(1, rawQuery[i]) : percentEncodePath(rawQuery.substr(i, 1));
  }
  return query;
}

Response redirectToFolder(const Request& request) {
  std::string target;
  if (request.protocol != Protocol::kSpartan && request.port != kGeminiPort) {
    target = fmt::format("gemini://{}:{}", hostInUrl(request.host), request.port);
  }
  target.append(withTrailingSlash(percentEncodePath(request.path)));
  if (request.query) target.append("?").append(encodeQuery(*request.query));
  return redirectTo(std::move(target), true);
}

Response redirectTo(std::string target, bool permanent) {
  if (target.size() > kMaxUriBytes) {
    return Response::failure(Status::kBadRequest, "The URL is too long to be redirected");
  }
  return Response::redirect(std::move(target), permanent);
}

Response busyFailure() {
  return Response::failure(Status::kServerUnavailable, "Busy, try again soon");
}

Response mayBeStored() {
  return Response::failure(Status::kTemporaryFailure,
                           "It may have been stored: look before you try again");
}

Response certificateNotValid(std::string_view why) {
  return Response::failure(Status::kCertificateNotValid, std::string(why));
}

std::optional<Response> refuseCertificate(const Request& request, const std::string& prompt) {
  if (!request.identity) return Response::failure(Status::kCertificateRequired, prompt);
  std::string_view fault = dateFault(*request.identity, std::chrono::system_clock::now());
  if (fault.empty()) fault = signatureFault(*request.identity);
  if (fault.empty()) return std::nullopt;
  return certificateNotValid(fault);
}

}  // namespace egalaxyd
