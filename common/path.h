// Percent-encoding and the normal form of request paths. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace egalaxyd {

/// Decodes every %XX once; '+' stays '+'. nullopt when a '%' is not followed by two hex digits.
std::optional<std::string> percentDecode(std::string_view text);

/// Encodes everything that a path (RFC 3986 pchar and '/') may not hold as it is.
std::string percentEncodePath(std::string_view path);
/// As percentEncodePath, and '/', ';', '?', '#' and '%' too: one segment, or a query's value.
std::string percentEncodeSegment(std::string_view segment);

enum class PathError {
  kAboveRoot,    ///< a literal ".." climbs above the root: the request is malformed (59)
  kUnservable,   ///< names nothing that could exist: encoded '/', control bytes, invalid UTF-8,
                 ///< an encoded ".." above the root (51)
};

/// Decodes a raw URI path once, resolves "." and ".." lexically and collapses empty segments. The
/// result begins with '/', ends with '/' exactly when the path names a folder, and holds no ".",
/// ".." or empty segment. "" and "/" give "/".
std::variant<std::string, PathError> normalisePath(std::string_view rawPath);

}  // namespace egalaxyd
