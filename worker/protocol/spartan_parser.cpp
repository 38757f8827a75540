#include "worker/protocol/spartan_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "common/base/limits.h"

namespace egalaxyd {

namespace {

/// Digits only: no sign, no base. nullopt also for numbers that are too large.
std::optional<std::uint64_t> parseLength(std::string_view text) {
  std::uint64_t length = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, problem] = std::from_chars(text.data(), end, length);
  if (problem != std::errc() || stopped != end) return std::nullopt;
  return length;
}

std::string urlOf(std::string_view host, std::string_view path) {
  const bool bareIpv6 = std::count(host.begin(), host.end(), ':') > 1 && host.front() != '[';
  std::string url("spartan://");
  if (bareIpv6) url += '[';
  url += host;
  if (bareIpv6) url += ']';
  url += path;
  return url;
}

ParseStep parseLine(std::string text) {
  const std::string_view line = text;
  const auto malformed = [&text](std::string_view why) {
    return Malformed{std::string(why), std::move(text)};
  };
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string::npos ? first : line.find(' ', first + 1);
  if (second == std::string::npos || line.find(' ', second + 1) != std::string::npos) {
    return malformed("The request line is not host, path and length");
  }
  const std::string_view host = line.substr(0, first);
  const std::string_view path = line.substr(first + 1, second - first - 1);
  const auto length = parseLength(line.substr(second + 1));
  if (!length) return malformed("The length is not a number");
  const auto refused = [&](std::string_view why) {
    Malformed fault = malformed(why);
    fault.announced = *length;
    return fault;
  };
  if (host.empty()) return refused("The host is missing");
  if (!path.starts_with('/') || path.starts_with("//")) {
    return refused("The path does not begin with one slash");
  }
  if (path.find('?') != std::string_view::npos) {
    return refused("The path has a query; it belongs into the data block");
  }
  std::string url = urlOf(host, path);
  auto parsed = parseUri(url);
  if (const auto* error = std::get_if<UriError>(&parsed)) return refused(describe(*error));
  auto& uri = std::get<Uri>(parsed);
  // A host with a slash or a question mark would be parsed as host and path, or query.
  if (uri.path != path || uri.query) return refused(describe(UriError::kHost));
  std::optional<UploadLine> upload;
  if (*length > 0) upload.emplace().size = *length;
  return RequestLine{std::move(url), std::move(uri), std::move(upload)};
}

}  // namespace

ParseStep SpartanParser::feed(std::string_view bytes, std::size_t& consumed) {
  consumed = 0;
  for (const char byte : bytes) {
    ++consumed;
    if (returned_ && byte == '\n') return parseLine(std::move(line_));
    const bool mayStand = (byte >= ' ' && byte <= '~') || byte == '\r';
    if (returned_ || (!mayStand && !(isHost_ && (byte & 0x80) != 0))) {
      return Malformed{"The request line is not ASCII up to CR LF", std::move(line_)};
    }
    if (byte == ' ') isHost_ = false;
    if (byte == '\r') {
      returned_ = true;
    } else if (line_.size() < kMaxSpartanLineBytes) {
      line_ += byte;
    } else {
      return Malformed{"The request line is longer than 4096 bytes", std::move(line_)};
    }
  }
  return NeedMore{};
}

}  // namespace egalaxyd
