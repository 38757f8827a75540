#include "worker/protocol/gemini_parser.h"

#include <utility>

#include "common/base/ascii.h"
#include "common/base/limits.h"
#include "worker/protocol/titan_parameters.h"

namespace egalaxyd {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kTitanScheme = "titan:";

/// Leaves out what follows a ';': it may be a token, which must not be logged.
Malformed malformed(std::string text, std::string_view line) {
  return {std::move(text), std::string(line.substr(0, line.find(';'))), std::nullopt};
}

ParseStep parseTitanLine(const std::string& line) {
  const TitanParts parts = splitTitanLine(line);
  auto parsed = parseUri(std::string(parts.before).append(parts.query));
  const auto refused = [&](std::string text) {
    Malformed fault = malformed(std::move(text), line);
    fault.announced = announcedSize(parts.parameters);
    return fault;
  };
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    return refused(std::string(describe(*error)));
  }
  auto parameters = parseTitanParameters(parts.parameters);
  if (auto* fault = std::get_if<std::string>(&parameters)) {
    return refused(std::move(*fault));
  }
  auto& upload = std::get<UploadLine>(parameters);
  std::string url(parts.before);
  url += upload.edit ? ";edit" : ";size=" + std::to_string(upload.size);
  url += parts.query;
  return RequestLine{std::move(url), std::get<Uri>(std::move(parsed)), std::move(upload)};
}

ParseStep parseLine(std::string line) {
  if (lowerCase(std::string_view(line).substr(0, kTitanScheme.size())) == kTitanScheme) {
    return parseTitanLine(line);
  }
  auto parsed = parseUri(line);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    return malformed(std::string(describe(*error)), line);
  }
  return RequestLine{std::move(line), std::get<Uri>(std::move(parsed))};
}

}  // namespace

ParseStep GeminiParser::feed(std::string_view bytes, std::size_t& consumed) {
  const std::size_t before = line_.size();
  const std::size_t limit = kMaxUriBytes + kLineEnd.size();
  line_.append(bytes.substr(0, limit - before));
  // The CR may have come with the previous call.
  const std::size_t end = line_.find(kLineEnd, before == 0 ? 0 : before - 1);
  if (end == std::string::npos) {
    consumed = line_.size() - before;
    if (line_.size() < limit) return NeedMore{};
    return malformed("The URL is longer than 1024 bytes", line_);
  }
  consumed = end + kLineEnd.size() - before;
  line_.resize(end);
  return parseLine(std::move(line_));
}

}  // namespace egalaxyd
