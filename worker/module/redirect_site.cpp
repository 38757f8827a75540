#include "worker/module/redirect_site.h"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <utility>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

/// Leaves one leading slash, since a target that begins with "//" would name a host.
void dropDoubleSlash(std::string& target) {
  const std::size_t path = target.find_first_not_of('/');
  const std::size_t slashes = path == std::string::npos ? target.size() : path;
  if (slashes > 1) target.erase(0, slashes - 1);
}

}  // namespace

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
      // "/new/%path%" and "/new%path%" mean the same.
      const bool doubled = target.ends_with('/') && value.starts_with('/');
      target += doubled ? value.substr(1) : value;
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
