#include "ctl/base/terminal_text.h"

#include <utility>

#include "common/base/path.h"

namespace egalaxyd::ctl {
namespace {

constexpr std::size_t kLongestCharacter = 4;

/// Length of the UTF-8 character that begins with this byte.
std::size_t promisedLength(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC2 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? kLongestCharacter : 1;
}

}  // namespace

std::string TerminalText::show(std::string_view piece) {
  const std::string text = std::exchange(cut_, {}).append(piece);
  std::string shown;
  for (std::string_view rest = text; !rest.empty();) {
    const char first = rest.front();
    const std::size_t length = printableLength(rest);
    if (length == 0 && promisedLength(first) > rest.size()) {
      cut_ = rest;
      break;
    }
    if (length > 0) {
      shown += rest.substr(0, length);
    } else if (first == '\n' || first == '\t') {
      shown += first;
    } else if (first != '\r') {
      shown += '?';
    }
    rest.remove_prefix(length > 0 ? length : 1);
  }
  return shown;
}

std::string TerminalText::end() { return printable(std::exchange(cut_, {})); }

}  // namespace egalaxyd::ctl
