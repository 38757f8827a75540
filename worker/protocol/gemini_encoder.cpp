#include "worker/protocol/gemini_encoder.h"

#include <string_view>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/wire/media_type.h"

namespace egalaxyd {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view usualText(Status status) {
  switch (status) {
    case Status::kInput:
    case Status::kSensitiveInput:
      return "Enter input";
    case Status::kSuccess:
      return "application/octet-stream";
    case Status::kRedirectTemporary:
    case Status::kRedirectPermanent:
      break;
    case Status::kTemporaryFailure:
      return "Temporary failure";
    case Status::kServerUnavailable:
      return "Server unavailable";
    case Status::kCgiError:
      return "The application behind this page failed";
    case Status::kProxyError:
      return "The server behind this page failed";
    case Status::kSlowDown:
      return "60";
    case Status::kPermanentFailure:
      return "Permanent failure";
    case Status::kNotFound:
      return "Not found";
    case Status::kGone:
      return "Gone";
    case Status::kProxyRequestRefused:
      return "Not served here";
    case Status::kBadRequest:
      return "Bad request";
    case Status::kCertificateRequired:
      return "A client certificate is required";
    case Status::kCertificateNotAuthorised:
      return "This client certificate is not authorised";
    case Status::kCertificateNotValid:
      return "This client certificate is not valid";
  }
  return "Temporary failure";
}

/// Printable, without spaces around it, at most kMaxMetaBytes.
std::string cleanText(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with(kByteOrderMark)) {
    text.remove_prefix(text.front() == ' ' ? 1 : kByteOrderMark.size());
  }
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    const std::string_view next = length == 0 ? "?" : text.substr(0, length);
    if (clean.size() + next.size() > kMaxMetaBytes) break;
    clean += next;
    text.remove_prefix(next.size());
  }
  clean.resize(clean.find_last_not_of(' ') + 1);
  return clean;
}

Header headerOf(Status status, std::string_view meta) {
  Header header{static_cast<int>(status), std::string(meta.empty() ? usualText(status) : meta), {}};
  header.line = std::to_string(header.status);
  header.line += ' ';
  header.line += header.meta;
  header.line += "\r\n";
  return header;
}

Header successHeader(std::string_view mediaType) {
  if (!isMediaType(mediaType)) mediaType = mediaType.substr(0, mediaType.find(';'));
  return headerOf(Status::kSuccess, isMediaType(mediaType) ? mediaType : "");
}

Header redirectHeader(Status status, std::string_view target) {
  if (target.size() > kMaxMetaBytes) {
    return headerOf(Status::kBadRequest, "The URL is too long to be redirected");
  }
  const bool usable = !target.empty() && !target.starts_with("//") &&
                      !target.starts_with(kByteOrderMark) &&
                      target.find(' ') == std::string_view::npos && isPrintable(target);
  if (!usable) return headerOf(Status::kTemporaryFailure, "");
  return headerOf(status, target);
}

}  // namespace

Header encodeGeminiHeader(const Response& response) {
  if (!isStatus(static_cast<int>(response.status))) return headerOf(Status::kCgiError, "");
  switch (response.status) {
    case Status::kSuccess:
      return successHeader(response.meta);
    case Status::kRedirectTemporary:
    case Status::kRedirectPermanent:
      return redirectHeader(response.status, response.meta);
    default:
      return headerOf(response.status, cleanText(response.meta));
  }
}

}  // namespace egalaxyd
