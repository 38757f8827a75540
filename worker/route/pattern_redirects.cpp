#include "worker/route/pattern_redirects.h"

#include <utility>

#include "worker/site/answers.h"

namespace egalaxyd {

void PatternRedirects::handle(Request request, Responder reply, Services&) {
  auto target = rules_.find(request.path);
  if (!target) return std::move(reply).send(Response::notFound());
  std::string& url = target->url;
  if (request.query && url.find('?') == std::string::npos) {
    url.append("?").append(encodeQuery(*request.query));
  }
  std::move(reply).send(redirectTo(std::move(url), target->permanent));
}

}  // namespace egalaxyd
