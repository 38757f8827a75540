#include "worker/site/response.h"

#include <algorithm>
#include <utility>

#include "common/wire/status.h"

namespace egalaxyd {

bool isStatus(int code) { return std::ranges::find(kStatuses, code) != kStatuses.end(); }

Response Response::success(std::string mediaType, std::unique_ptr<BodySource> body) {
  return {Status::kSuccess, std::move(mediaType), std::move(body)};
}

Response Response::gemtext(std::string text) {
  return success("text/gemini", std::make_unique<StringBody>(std::move(text)));
}

Response Response::redirect(std::string target, bool permanent) {
  return {permanent ? Status::kRedirectPermanent : Status::kRedirectTemporary, std::move(target),
          nullptr};
}

Response Response::notFound() { return failure(Status::kNotFound, "Not found"); }

Response Response::failure(Status status, std::string text) {
  return {status, std::move(text), nullptr};
}

}  // namespace egalaxyd
