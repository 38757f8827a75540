#include "worker/site/redirect_site.h"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <utility>

#include "common/limits.h"
#include "common/path.h"

namespace egalaxyd {
namespace {

/// A target that begins with "//" would name a host.
void dropDoubleSlash(std::string& target) {
  const std::size_t path = target.find_first_not_of('/');
  const std::size_t slashes = path == std::string::npos ? target.size() : path;
  if (slashes > 1) target.erase(0, slashes - 1);
}

}  // namespace

std::string encodeQuery(std::string_view rawQuery) {
  std::string query;
  for (std::size_t i = 0; i < rawQuery.size(); ++i) {
    const bool kept = rawQuery[i] == '%' || rawQuery[i] == '?' || rawQuery[i] == ';';
    query += kept ? std::string(1, rawQuery[i]) : percentEncodePath(rawQuery.substr(i, 1));
  }
  return query;
}

std::string hostInUrl(std::string_view host) {
  const bool isIpv6 = host.find(':') != std::string_view::npos;
  return isIpv6 ? fmt::format("[{}]", host) : std::string(host);
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

void RedirectSite::handle(Request request, Responder reply, Services&) {
  const std::array<std::pair<std::string_view, std::string>, 3> values{{
      {"%path%", percentEncodePath(request.sitePath())},
      {"%query%", encodeQuery(request.query.value_or(""))},
      {"%host%", hostInUrl(request.host)},
  }};
  std::string target;
  for (std::string_view rest = args_.to; !rest.empty();) {
    std::size_t eaten = 0;
    for (const auto& [name, value] : values) {
      if (!rest.starts_with(name)) continue;
      target += value;
      eaten = name.size();
    }
    if (eaten == 0) target += rest[eaten++];
    rest.remove_prefix(eaten);
  }
  dropDoubleSlash(target);
  if (target.empty()) target.push_back('/');
  std::move(reply).send(redirectTo(std::move(target), args_.permanent));
}

}  // namespace egalaxyd
