#include "worker/protocol/gemini_parser.h"

#include <utility>

#include "common/limits.h"

namespace egalaxyd {

namespace {

constexpr std::string_view kLineEnd = "\r\n";

ParseStep parseLine(std::string line) {
  auto parsed = parseUri(line);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    return Malformed{std::string(describe(*error)), std::move(line)};
  }
  return RequestLine{std::move(line), std::get<Uri>(std::move(parsed))};
}

}  // namespace

ParseStep GeminiParser::feed(std::string_view bytes, std::size_t& consumed) {
  const std::size_t before = line_.size();
  const std::size_t limit = kMaxUriBytes + kLineEnd.size();
  line_.append(bytes.substr(0, limit - before));
  // The CR may have come with the call before.
  const std::size_t end = line_.find(kLineEnd, before == 0 ? 0 : before - 1);
  if (end == std::string::npos) {
    consumed = line_.size() - before;
    if (line_.size() < limit) return NeedMore{};
    return Malformed{"The URL is longer than 1024 bytes", std::move(line_)};
  }
  consumed = end + kLineEnd.size() - before;
  line_.resize(end);
  return parseLine(std::move(line_));
}

}  // namespace egalaxyd
