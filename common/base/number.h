// Whole numbers as people and protocols write them. Pure.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace egalaxyd {

/// Decimal digits and nothing else, from `least` to `most`; behind a "-" where `least` is negative.
inline std::optional<std::int64_t> parseNumber(std::string_view text, std::int64_t least,
                                               std::int64_t most) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  const bool wellFormed = error == std::errc() && stopped == end;
  const bool fits = number >= least && number <= most && (least < 0 || !text.starts_with('-'));
  return wellFormed && fits ? std::optional(number) : std::nullopt;
}

}  // namespace egalaxyd
