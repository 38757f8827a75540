#include "worker/site/response.h"

#include <utility>

namespace egalaxyd {

bool isStatus(int code) {
  switch (static_cast<Status>(code)) {
    case Status::kInput:
    case Status::kSensitiveInput:
    case Status::kSuccess:
    case Status::kRedirectTemporary:
    case Status::kRedirectPermanent:
    case Status::kTemporaryFailure:
    case Status::kServerUnavailable:
    case Status::kCgiError:
    case Status::kProxyError:
    case Status::kSlowDown:
    case Status::kPermanentFailure:
    case Status::kNotFound:
    case Status::kGone:
    case Status::kProxyRequestRefused:
    case Status::kBadRequest:
    case Status::kCertificateRequired:
    case Status::kCertificateNotAuthorised:
    case Status::kCertificateNotValid:
      return true;
  }
  return false;
}

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
