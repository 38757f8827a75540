// Strict parser for absolute URIs (RFC 3986) as the small web's request lines carry them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace egalaxyd {

/// The parts of an absolute URI. Views into the parsed text are not kept.
struct Uri {
  std::string scheme;                 ///< lower-case
  std::string host;                   ///< as canonicalHost() has it; IPv6 literals without their
                                      ///< brackets and in their shortest form (RFC 5952)
  std::optional<std::uint16_t> port;  ///< nullopt: none, or empty
  std::string path;                   ///< as sent, still percent-encoded; may be empty
  std::optional<std::string> query;   ///< as sent, without '?'; nullopt: no '?'
};

/// Why a text is not an acceptable absolute URI.
enum class UriError {
  kByte,      ///< a byte that no URI may hold where it stands: control, space, quotation mark,
              ///< invalid UTF-8 ...
  kNoScheme,  ///< relative, or the scheme is malformed
  kUserinfo,  ///< an '@' in the authority, even with nothing before it
  kHost,      ///< missing or malformed
  kPort,      ///< not a number from 0 to 65535
  kPercent,   ///< '%' without two hexadecimal digits
  kFragment,  ///< a '#', even an empty one
};

/// A short text for the client, e.g. "The URL has a fragment".
std::string_view describe(UriError error);

/// `host` as it stands in a URL, and before a port: an IPv6 address in brackets.
std::string hostInUrl(std::string_view host);

/// Accepts valid UTF-8 beyond ASCII (control characters excepted) in path and query, as if it were
/// percent-encoded. Hosts are DNS names (letters, digits, '-', '.', '_'; likewise percent-encoded
/// or in UTF-8), IPv4 or bracketed IPv6 addresses. gemini, titan and spartan need a host; other
/// schemes do without, or without an authority at all. No length limit of its own.
std::variant<Uri, UriError> parseUri(std::string_view text);

}  // namespace egalaxyd
