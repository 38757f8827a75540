// Durations and sizes as people write them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace egalaxyd {

/// "250ms", "30s", "5m", "2h", "7d": a whole number and its unit, no space, at most 36500 days.
std::optional<std::chrono::milliseconds> parseDuration(std::string_view text);
/// In the largest unit that divides it: 90000 ms is "90s"; 0 is "0s". parseDuration reads it back.
std::string durationText(std::chrono::milliseconds duration);

/// Bytes of "64KiB", "10MiB", "1GiB", "512B" or "512"; at most 2^63 - 1.
std::optional<std::uint64_t> parseSize(std::string_view text);
/// In the largest unit that divides it: 65536 is "64KiB", 1000 is "1000B". parseSize reads it back.
std::string sizeText(std::uint64_t bytes);

}  // namespace egalaxyd
