// Durations, sizes and times as people write them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/number.h"

namespace egalaxyd {

/// "250ms", "30s", "5m", "2h", "7d": a whole number and its unit, no space, at most 36500 days.
std::optional<std::chrono::milliseconds> parseDuration(std::string_view text);
/// In the largest unit that divides it: 90000 ms is "90s"; 0 is "0s". parseDuration reads it back.
std::string durationText(std::chrono::milliseconds duration);

/// A moment of RFC 3339: "2026-01-31T08:00:00Z", "2026-01-31T09:00:00.5+01:00" (fractions are cut),
/// or a day, "2026-01-31", from its beginning in UTC. Years 1970 to 9999.
std::optional<std::chrono::sys_seconds> parseTime(std::string_view text);
/// "2026-01-31T08:00:00Z". parseTime reads it back.
std::string timeText(std::chrono::sys_seconds time);

/// Bytes of "64KiB", "10MiB", "1GiB", "512B" or "512"; at most 2^63 - 1.
std::optional<std::uint64_t> parseSize(std::string_view text);
/// In the largest unit that divides it: 65536 is "64KiB", 1000 is "1000B". parseSize reads it back.
std::string sizeText(std::uint64_t bytes);

}  // namespace egalaxyd
