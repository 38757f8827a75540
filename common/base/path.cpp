#include "common/base/path.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace egalaxyd {

namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";
/// RFC 3986: unreserved, sub-delims, ':' and '@', without letters, digits and ';'.
constexpr std::string_view kPcharMarks = "-._~!$&'()*+,=:@";

bool isAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int hexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct CodeRange {
  std::uint32_t first;
  std::uint32_t last;
};

/// Unicode 15: category Cf, and U+2028 and U+2029.
constexpr CodeRange kInvisible[] = {{0x00AD, 0x00AD},   {0x0600, 0x0605},   {0x061C, 0x061C},
                                    {0x06DD, 0x06DD},   {0x070F, 0x070F},   {0x0890, 0x0891},
                                    {0x08E2, 0x08E2},   {0x180E, 0x180E},   {0x200B, 0x200F},
                                    {0x2028, 0x202E},   {0x2060, 0x2064},   {0x2066, 0x206F},
                                    {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD},
                                    {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},
                                    {0x1D173, 0x1D17A}, {0xE0001, 0xE0001}, {0xE0020, 0xE007F}};

/// Of one well-formed character of two bytes or more.
std::uint32_t codePoint(std::string_view character) {
  const auto at = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(character[i]));
  };
  std::uint32_t code = at(0) & (0x7FU >> character.size());
  for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (at(i) & 0x3F);
  return code;
}

/// Writes kEncodedSlash as `encodedSlash`.
std::string encodeAllBut(std::string_view text, std::string_view marks,
                         char encodedSlash = kEncodedSlash) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (isAlphanumeric(c) || marks.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c == kEncodedSlash ? encodedSlash : c);
      encoded += '%';
      encoded += kHexDigits[byte >> 4];
      encoded += kHexDigits[byte & 0x0F];
    }
  }
  return encoded;
}

}  // namespace

std::size_t printableLength(std::string_view text) {
  if (text.empty()) return 0;
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = at(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7F ? 1 : 0;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = at(1);
  if (first == 0xC2 && second < 0xA0) return 0;   // C1
  if (first == 0xE0 && second < 0xA0) return 0;   // overlong
  if (first == 0xED && second >= 0xA0) return 0;  // surrogates
  if (first == 0xF0 && second < 0x90) return 0;   // overlong
  if (first == 0xF4 && second >= 0x90) return 0;  // beyond U+10FFFF
  return length;
}

bool isPrintable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool isInvisible(std::string_view character) {
  if (character.size() < 2) return false;
  const std::uint32_t code = codePoint(character);
  const auto next = std::upper_bound(
      std::begin(kInvisible), std::end(kInvisible), code,
      [](std::uint32_t wanted, const CodeRange& range) { return wanted < range.first; });
  return next != std::begin(kInvisible) && code <= std::prev(next)->last;
}

bool holdsInvisible(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    if (isInvisible(text.substr(0, length))) return true;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return false;
}

std::string_view takeShown(std::string_view& text) {
  const std::size_t length = printableLength(text);
  const std::string_view character = text.substr(0, length);
  text.remove_prefix(std::max<std::size_t>(length, 1));
  if (length == 0) return "?";
  return isInvisible(character) ? "\uFFFD" : character;
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) shown += takeShown(text);
  return shown;
}

std::optional<std::string> percentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hexValue(text[i + 1]);
    const int low = hexValue(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::string percentEncodePath(std::string_view path) {
  static const std::string marks = std::string(kPcharMarks) + "/";
  return encodeAllBut(path, marks, '/');
}

std::string percentEncodeSegment(std::string_view segment) {
  return encodeAllBut(segment, kPcharMarks);
}

std::string withTrailingSlash(std::string path) {
  if (!path.ends_with('/')) path += '/';
  return path;
}

std::string_view withoutTrailingSlash(std::string_view path) {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

std::optional<std::string> mountPath(std::string_view path) {
  if (path.size() > 2) path = withoutTrailingSlash(path);
  std::string_view rest = path == "/" ? std::string_view() : path;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    if (segment.empty() || segment == "." || segment == "..") return std::nullopt;
    rest.remove_prefix(segment.size());
  }
  return std::string(path);
}

namespace {

/// Marks the slashes of a decoded segment. nullopt if a "." or ".." stands between them.
std::optional<std::string> withMarkedSlashes(std::string segment) {
  for (std::size_t start = 0; start <= segment.size();) {
    const std::size_t end = std::min(segment.find('/', start), segment.size());
    const std::string_view part = std::string_view(segment).substr(start, end - start);
    if (part == "." || part == "..") return std::nullopt;
    if (end < segment.size()) segment[end] = kEncodedSlash;
    start = end + 1;
  }
  return segment;
}

/// What a segment stands for in a normalised path; nullopt if it is unservable.
std::optional<std::string> servable(std::string segment, bool keepsSlashes) {
  if (!isPrintable(segment)) return std::nullopt;
  if (segment.find('/') == std::string::npos) return segment;
  return keepsSlashes ? withMarkedSlashes(std::move(segment)) : std::nullopt;
}

std::variant<std::string, PathError> normalised(std::string_view rawPath, bool keepsSlashes) {
  std::string path;
  bool folder = true;  // of what has been seen so far
  bool unservable = false;
  while (!rawPath.empty()) {
    const auto slash = rawPath.find('/');
    const std::string_view raw = rawPath.substr(0, slash);
    rawPath = slash == std::string_view::npos ? "" : rawPath.substr(slash + 1);
    if (raw.empty()) {
      folder = true;
      continue;
    }
    std::optional<std::string> segment = percentDecode(raw);
    folder = slash != std::string_view::npos || segment == "." || segment == "..";
    if (segment == ".") continue;
    if (segment == "..") {
      if (!path.empty()) {
        const auto last = path.rfind('/');
        unservable = unservable || path.find(kEncodedSlash, last) != std::string::npos;
        path.resize(last);
      } else if (raw == "..") {
        return PathError::kAboveRoot;
      } else {
        unservable = true;
      }
      continue;
    }
    if (segment) segment = servable(*std::move(segment), keepsSlashes);
    if (!segment) {
      unservable = true;
      path += "/?";  // stands for the segment, so that a later ".." has it to leave
      continue;
    }
    path += '/';
    path += *segment;
  }
  if (unservable) return PathError::kUnservable;
  if (folder) path += '/';
  return path;
}

}  // namespace

std::variant<std::string, PathError> normalisePath(std::string_view rawPath) {
  return normalised(rawPath, false);
}

std::variant<std::string, PathError> normalisePathKeepingSlashes(std::string_view rawPath) {
  return normalised(rawPath, true);
}

}  // namespace egalaxyd
