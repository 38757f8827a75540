#include "worker/module/reply_site.h"

#include <memory>

namespace egalaxyd {

void ReplySite::handle(Request, Responder reply, Services&) {
  const auto status = static_cast<Status>(args_.status);
  Response response{status, args_.meta, nullptr};
  if (status == Status::kSuccess) {
    if (response.meta.empty()) response.meta = "text/gemini";
    response.body = std::make_unique<StringBody>(args_.body);
  }
  std::move(reply).send(std::move(response));
}

}  // namespace egalaxyd
