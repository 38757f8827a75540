#include "common/base/glob.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace egalaxyd {
namespace {

/// Takes the first character, or a byte that begins none.
std::string_view takeCharacter(std::string_view& text) {
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) {
    ++length;
  }
  const std::string_view taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

/// Length of the class that `pattern` begins with, brackets included; 0: there is none.
std::size_t classLength(std::string_view pattern) {
  if (!pattern.starts_with('[')) return 0;
  const std::size_t first = pattern.starts_with("[!") ? 2 : 1;
  const std::size_t end = pattern.find(']', first + 1);  // a ']' at its beginning is a member
  return end == std::string_view::npos ? 0 : end + 1;
}

/// `members`: a class without its brackets. Bytes of UTF-8 compare as its characters do.
bool holds(std::string_view members, std::string_view character) {
  const bool others = members.starts_with('!');
  if (others) members.remove_prefix(1);
  bool found = false;
  while (!members.empty()) {
    const std::string_view low = takeCharacter(members);
    std::string_view high = low;
    if (members.size() > 1 && members.front() == '-') {
      members.remove_prefix(1);
      high = takeCharacter(members);
    }
    found = found || (low <= character && character <= high);
  }
  return found != others;
}

/// Takes one character from both if it fits. `pattern` does not begin with '*'.
bool takeOne(std::string_view& pattern, std::string_view& name) {
  if (pattern.empty() || name.empty()) return false;
  if (pattern.front() == '?') {
    takeCharacter(name);
    pattern.remove_prefix(1);
    return true;
  }
  if (const std::size_t length = classLength(pattern); length > 0) {
    if (!holds(pattern.substr(1, length - 2), takeCharacter(name))) return false;
    pattern.remove_prefix(length);
    return true;
  }
  if (pattern.front() != name.front()) return false;
  pattern.remove_prefix(1);
  name.remove_prefix(1);
  return true;
}

/// One segment. What the last '*' stands for grows until the rest fits; those before it need not
/// change then.
bool fitsName(std::string_view pattern, std::string_view name) {
  std::optional<std::string_view> behindStar;
  std::string_view retry;
  while (!name.empty() || !pattern.empty()) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      behindStar = pattern;
      retry = name;
    } else if (!takeOne(pattern, name)) {
      if (!behindStar || retry.empty()) return false;
      takeCharacter(retry);
      pattern = *behindStar;
      name = retry;
    }
  }
  return true;
}

std::string_view firstSegment(std::string_view path) { return path.substr(0, path.find('/')); }

/// nullopt: it was the last one.
std::optional<std::string_view> behindSegment(std::string_view path) {
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::nullopt : std::optional(path.substr(slash + 1));
}

}  // namespace

bool fitsGlob(std::string_view wholePattern, std::string_view wholePath) {
  using Rest = std::optional<std::string_view>;
  Rest pattern = wholePattern;
  Rest path = wholePath;
  bool anyFolders = false;  // whether there was a "**", to which these belong:
  Rest behindFolders;
  Rest retry;
  while (pattern || path) {
    if (pattern && firstSegment(*pattern) == "**") {
      pattern = behindSegment(*pattern);
      if (!pattern) return path.has_value();  // whatever is below
      anyFolders = true;
      behindFolders = pattern;
      retry = path;
    } else if (pattern && path && fitsName(firstSegment(*pattern), firstSegment(*path))) {
      pattern = behindSegment(*pattern);
      path = behindSegment(*path);
    } else {
      if (!anyFolders || !retry) return false;
      retry = behindSegment(*retry);
      pattern = behindFolders;
      path = retry;
    }
  }
  return true;
}

bool isGlob(std::string_view pattern) {
  return pattern.find_first_of("*?[") != std::string_view::npos;
}

}  // namespace egalaxyd
