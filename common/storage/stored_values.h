// What both engines read and write: values within their ranges, whatever a database holds. For the
// files of engines alone.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/storage/storage.h"

namespace egalaxyd::stored {

inline std::int64_t seconds(WallTime time) { return time.time_since_epoch().count(); }

// A number that no version of this program wrote, and that others could not count with.
inline constexpr std::int64_t kYear9999 = 253'402'300'799;
inline WallTime wallTime(std::int64_t value) {
  return WallTime(std::chrono::seconds(std::clamp<std::int64_t>(value, 0, kYear9999)));
}
inline std::uint64_t count(std::int64_t value) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

/// Bytes of a text that are read: more than any that this program writes.
inline constexpr std::size_t kLongest = 8192;

inline Error noSuchUser(std::string_view id) {
  return {ErrorCode::kNotFound, fmt::format("no user {}", id)};
}
inline Error noPending(std::int64_t id) {
  return {ErrorCode::kNotFound, fmt::format("no pending upload {}", id)};
}

/// The paths beneath a prefix: those from `first` up to, but without, `last`, in byte order.
struct PathRange {
  explicit PathRange(std::string_view prefix) {
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    self = prefix;
    first = self + '/';
    last = self + static_cast<char>('/' + 1);
  }
  std::string self;
  std::string first;
  std::string last;
};

}  // namespace egalaxyd::stored
