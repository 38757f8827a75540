// Text of a peer on its way to a terminal, which would obey its control characters.
#pragma once

#include <string>
#include <string_view>

namespace egalaxyd::ctl {

/// Takes the text in pieces, of which characters may be cut. Line feeds and tabs stay,
/// carriage returns go, what else is no printable UTF-8 becomes "?".
class TerminalText {
 public:
  /// What can be shown by now.
  std::string show(std::string_view piece);
  /// The text has ended.
  std::string end();

 private:
  std::string cut_;  ///< the beginning of a character
};

}  // namespace egalaxyd::ctl
