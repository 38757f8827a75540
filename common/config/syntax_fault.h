// What is wrong with a text that is no TOML, said to somebody who writes TOML for the first time.
// Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

struct SyntaxFault {
  std::size_t line = 1;
  std::string key;   ///< dotted, as Config::lines has it; "" when it is not known
  std::string text;  ///< what was found, what to write; no value of a key that may be secret
  /// What the writer probably meant, so that the rest can be read too: it stands for `lines` lines
  /// from `line` on. nullopt: no guess is good enough.
  std::optional<std::string> instead{};
  std::size_t lines = 1;
};

/// What no parser needs to see: another encoding, a binary file, a key instead of a configuration.
std::optional<SyntaxFault> encodingFault(std::string_view text);

/// `lines` of the file; the parser stopped in line `at`, counted from 1, for the reason
/// `description`.
SyntaxFault syntaxFault(const std::vector<std::string>& lines, std::size_t at,
                        std::string_view description);

/// A dotted key as it should have been written: the host's name in one pair of quotes, paths in
/// quotes: sites.example.org./a becomes sites."example.org"."/a". "" when it makes no sense.
std::string quotedKey(std::string_view written);

/// As a table's name or a key; "" for what is neither.
inline bool isHeader(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  return first != std::string_view::npos && line[first] == '[';
}

}  // namespace egalaxyd
