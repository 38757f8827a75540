// A response as sites give it: a value without protocol details. Gemini's status codes are the
// common language; the encoders of other protocols map them.
#pragma once

#include <memory>
#include <string>

#include "worker/site/body.h"

namespace egalaxyd {

/// Gemini 0.24.1, "Responses": all of them.
enum class Status : int {
  kInput = 10,
  kSensitiveInput = 11,
  kSuccess = 20,
  kRedirectTemporary = 30,
  kRedirectPermanent = 31,
  kTemporaryFailure = 40,
  kServerUnavailable = 41,
  kCgiError = 42,
  kProxyError = 43,
  kSlowDown = 44,
  kPermanentFailure = 50,
  kNotFound = 51,
  kGone = 52,
  kProxyRequestRefused = 53,
  kBadRequest = 59,
  kCertificateRequired = 60,
  kCertificateNotAuthorised = 61,
  kCertificateNotValid = 62,
};

/// Whether `code` is one of Status.
bool isStatus(int code);

/// `meta` depends on the status: prompt, media type, redirect target (percent-encoded), or a short
/// text for a human. A body only with kSuccess.
struct Response {
  Status status = Status::kTemporaryFailure;
  std::string meta;
  std::unique_ptr<BodySource> body;

  static Response success(std::string mediaType, std::unique_ptr<BodySource> body);
  static Response gemtext(std::string text);
  /// `target` is percent-encoded already.
  static Response redirect(std::string target, bool permanent);
  static Response notFound();
  static Response failure(Status status, std::string text);
};

}  // namespace egalaxyd
