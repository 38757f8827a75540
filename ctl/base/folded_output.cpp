#include "ctl/base/folded_output.h"

#include <algorithm>

namespace egalaxyd::ctl {
namespace {

constexpr std::size_t kContinuation = 4;  ///< columns by which a continued line is indented

/// Bytes of the character, or the sequence of a terminal, that `text` begins with.
std::size_t pieceLength(std::string_view text) {
  if (text.starts_with("\x1b[")) {
    return std::min(text.find_first_not_of("0123456789;", 2), text.size() - 1) + 1;
  }
  std::size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xc0U) == 0x80) {
    ++length;
  }
  return length;
}

/// At most: scripts of East Asia take two columns for a character.
std::size_t pieceColumns(std::string_view piece) {
  if (piece.front() == '\x1b') return 0;
  return static_cast<unsigned char>(piece.front()) < 0xe1 ? 1 : 2;
}

/// How much of `line` fits; cut behind a space if there is one.
std::size_t fitting(std::string_view line, std::size_t width) {
  std::size_t columns = 0;
  std::size_t space = 0;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t length = pieceLength(line.substr(at));
    columns += pieceColumns(line.substr(at, length));
    if (columns > width) {
      // A line is not cut in its own indentation.
      const bool isIndent = line.find_first_not_of(' ') >= space;
      return line[at] == ' ' ? at : space > 0 && !isIndent ? space : std::max<std::size_t>(at, 1);
    }
    at += length;
    if (line[at - 1] == ' ') space = at;
  }
  return line.size();
}

}  // namespace

std::size_t columnsOf(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const std::size_t length = pieceLength(text);
    columns += pieceColumns(text.substr(0, length));
    text.remove_prefix(length);
  }
  return columns;
}

std::string folded(std::string_view line, std::size_t width) {
  std::string out;
  std::size_t room = width;
  for (;;) {
    const std::size_t length = fitting(line, room);
    std::string_view part = line.substr(0, length);
    line.remove_prefix(length);
    if (line.empty()) return out.append(part);
    part = part.substr(0, part.find_last_not_of(' ') + 1);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    out.append(part);
    if (line.empty()) return out;
    out.append("\n").append(kContinuation, ' ');
    room = width - kContinuation;
  }
}

FoldedOutput::Buffer::int_type FoldedOutput::Buffer::overflow(int_type c) {
  if (c == traits_type::eof()) return traits_type::not_eof(c);
  if (c != '\n') {
    line_ += traits_type::to_char_type(c);
    return c;
  }
  out_ << folded(line_) << '\n';
  line_.clear();
  return out_ ? c : traits_type::eof();
}

int FoldedOutput::Buffer::sync() {
  out_ << folded(line_);
  line_.clear();
  return out_.flush() ? 0 : -1;
}

}  // namespace egalaxyd::ctl
