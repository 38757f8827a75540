#include "common/wire/uri.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/number.h"
#include "common/base/path.h"
#include "common/wire/host_name.h"

namespace egalaxyd {

namespace {

bool isAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isHexDigit(char c) { return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool isOneOf(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool isScheme(std::string_view text) {
  return !text.empty() && isAlpha(text.front()) && std::ranges::all_of(text, [](char c) {
    return isAlpha(c) || isDigit(c) || isOneOf(c, "+-.");
  });
}

/// The first thing wrong with the characters of a path or query. Brackets are for IPv6 alone.
std::optional<UriError> checkCharacters(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::size_t length = printableLength(text.substr(i));
    if (length == 0 || isOneOf(c, " \"<>\\^`{|}[]")) return UriError::kByte;
    if (c == '%') {
      if (text.size() - i < 3 || !isHexDigit(text[i + 1]) || !isHexDigit(text[i + 2])) {
        return UriError::kPercent;
      }
    }
    i += length;
  }
  return std::nullopt;
}

/// Of the text after ':'. Leading zeros mean nothing.
std::optional<UriError> parsePort(std::string_view text, Uri& uri) {
  if (text.empty()) return std::nullopt;
  const auto port = parseNumber(text, 0, UINT16_MAX);
  if (!port) return UriError::kPort;
  uri.port = static_cast<std::uint16_t>(*port);
  return std::nullopt;
}

/// `text` is what stood between the brackets.
std::optional<UriError> parseIpv6(std::string_view text, Uri& uri) {
  in6_addr address{};
  std::array<char, INET6_ADDRSTRLEN> shortest{};
  if (text.find('\0') != std::string_view::npos ||
      inet_pton(AF_INET6, std::string(text).c_str(), &address) != 1 ||
      inet_ntop(AF_INET6, &address, shortest.data(), shortest.size()) == nullptr) {
    return UriError::kHost;
  }
  uri.host = shortest.data();
  return std::nullopt;
}

std::optional<UriError> parseName(std::string_view text, Uri& uri) {
  // A character is sent as it is or percent-encoded, but not one half of it in each way.
  const auto decoded = isPrintable(text) ? percentDecode(text) : std::nullopt;
  if (!decoded) return UriError::kHost;
  auto name = canonicalHost(*decoded);
  const bool legal = name && std::ranges::all_of(*name, [](char c) {
                       return isAlpha(c) || isDigit(c) || isOneOf(c, "-._");
                     });
  if (!legal || name->ends_with('.')) return UriError::kHost;
  uri.host = std::move(*name);
  return std::nullopt;
}

std::optional<UriError> parseAuthority(std::string_view text, Uri& uri) {
  if (isOneOf('@', text)) return UriError::kUserinfo;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return UriError::kHost;
    if (const auto error = parseIpv6(text.substr(1, close - 1), uri)) return error;
    text.remove_prefix(close + 1);
    if (text.empty()) return std::nullopt;
    return text.front() == ':' ? parsePort(text.substr(1), uri) : UriError::kHost;
  }
  const auto colon = text.find(':');
  if (const auto error = parseName(text.substr(0, colon), uri)) return error;
  return colon == std::string_view::npos ? std::nullopt : parsePort(text.substr(colon + 1), uri);
}

bool needsHost(std::string_view scheme) {
  return scheme == "gemini" || scheme == "titan" || scheme == "spartan";
}

}  // namespace

std::string_view describe(UriError error) {
  switch (error) {
    case UriError::kByte:
      return "The URL has a character that must be percent-encoded";
    case UriError::kNoScheme:
      return "An absolute URL is expected";
    case UriError::kUserinfo:
      return "The URL has user information";
    case UriError::kHost:
      return "The URL has no valid host";
    case UriError::kPort:
      return "The URL has no valid port";
    case UriError::kPercent:
      return "The URL has a broken percent-encoding";
    case UriError::kFragment:
      return "The URL has a fragment";
  }
  return "The URL is malformed";
}

std::string hostInUrl(std::string_view host) {
  const bool isIpv6 = host.find(':') != std::string_view::npos && !host.starts_with('[');
  return isIpv6 ? std::string("[").append(host).append("]") : std::string(host);
}

std::variant<Uri, UriError> parseUri(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || !isScheme(text.substr(0, colon))) {
    return UriError::kNoScheme;
  }
  Uri uri;
  uri.scheme = lowerCase(text.substr(0, colon));
  text.remove_prefix(colon + 1);

  if (isOneOf('#', text)) return UriError::kFragment;
  if (text.starts_with("//")) {
    text.remove_prefix(2);
    const std::string_view authority = text.substr(0, text.find_first_of("/?"));
    if (const auto error = parseAuthority(authority, uri)) return *error;
    text.remove_prefix(authority.size());
  }
  if (uri.host.empty() && needsHost(uri.scheme)) return UriError::kHost;
  if (const auto error = checkCharacters(text)) return *error;

  const auto mark = text.find('?');
  uri.path = text.substr(0, mark);
  if (mark != std::string_view::npos) uri.query = text.substr(mark + 1);
  return uri;
}

}  // namespace egalaxyd
