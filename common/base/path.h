// Percent-encoding, and the normal form of request paths. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace egalaxyd {

/// Bytes of the character that `text` begins with, when that is well-formed UTF-8 (RFC 3629) and no
/// control character (C0, DEL, C1); else 0. A space counts as printable.
std::size_t printableLength(std::string_view text);

/// Whether all of `text` consists of such characters.
bool isPrintable(std::string_view text);
/// Whether `character`, one that printableLength() found, is not seen and changes how what is
/// around it looks: Unicode's category Cf (bidirectional overrides, zero-width characters, tags),
/// and the separators of lines and paragraphs.
bool isInvisible(std::string_view character);
/// Whether any of `text` is; it need not be UTF-8.
bool holdsInvisible(std::string_view text);
/// What of `text` begins here, made fit to be shown: U+FFFD for what is invisible, '?' for a byte
/// that is not printable. Takes it from `text`, which is not empty.
std::string_view takeShown(std::string_view& text);
/// All of it so: a terminal obeys control characters, and they are not for a peer to send.
std::string printable(std::string_view text);

/// Decodes every %XX once; '+' stays '+'. nullopt when a '%' is not followed by two hex digits.
std::optional<std::string> percentDecode(std::string_view text);

/// Stands for an encoded '/' in a normalised path, where one is legal: no other control character
/// is in it.
inline constexpr char kEncodedSlash = '\0';

/// Encodes everything that a path (RFC 3986 pchar and '/') may not hold as it is, '%' included, and
/// ';', behind which Titan's parameters begin: the URL means this path in every protocol.
/// kEncodedSlash becomes "%2F".
std::string percentEncodePath(std::string_view path);
/// As percentEncodePath, and '/' too: one segment, or a query's value.
std::string percentEncodeSegment(std::string_view segment);

/// "/dir" as "/dir/", and back; "/" has no other form.
std::string withTrailingSlash(std::string path);
std::string_view withoutTrailingSlash(std::string_view path);

/// Where a site is mounted, without a trailing slash; nullopt for an empty, "." or ".." segment.
/// `path` begins with '/'.
std::optional<std::string> mountPath(std::string_view path);

enum class PathError {
  kAboveRoot,   ///< a literal ".." climbs above the root: the request is malformed (59)
  kUnservable,  ///< names nothing that could exist: encoded '/', control characters, invalid
                ///< UTF-8, an encoded ".." above the root, a broken %XX (51)
};

/// Decodes a raw URI path once, resolves "." and ".." lexically and collapses empty segments. The
/// result begins with '/', ends with '/' exactly when the path names a folder, and holds no ".",
/// ".." or empty segment. "" and "/" give "/". kAboveRoot where both errors apply. The result is
/// no URI path any more: percentEncodePath makes it one, and that normalises to itself.
std::variant<std::string, PathError> normalisePath(std::string_view rawPath);
/// The same, but an encoded '/' becomes kEncodedSlash. A segment in which it sets a "." or ".."
/// apart is kUnservable, and so is one with an encoded '/' that a ".." leaves.
std::variant<std::string, PathError> normalisePathKeepingSlashes(std::string_view rawPath);

}  // namespace egalaxyd
