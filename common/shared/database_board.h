// What a host's processes know together of the database that it shares with others.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/shared/latency.h"

namespace egalaxyd {

/// A text that one process writes and others read; mixed where both happen at once.
template <std::size_t Most>
class SharedText {
 public:
  void set(std::string_view text) {
    const std::size_t size = text.size() < Most ? text.size() : Most;
    for (std::size_t i = 0; i < size; ++i) bytes_[i].store(text[i], std::memory_order_relaxed);
    size_.store(static_cast<std::uint16_t>(size), std::memory_order_release);
  }
  /// Any bytes.
  std::string get() const {
    const std::size_t size = size_.load(std::memory_order_acquire);
    std::string text;
    for (std::size_t i = 0; i < size && i < Most; ++i) {
      text += bytes_[i].load(std::memory_order_relaxed);
    }
    return text;
  }

 private:
  std::atomic<std::uint16_t> size_;
  std::array<std::atomic<char>, Most> bytes_;
};

/// A time without the database, the last that there was.
struct DatabaseGap {
  std::int64_t begun = 0;  ///< Unix time in ms; 0: there was none
  std::chrono::milliseconds length{0};
};

/// Written by all workers, read by all: lives in zeroed shared memory and is never constructed. A
/// worker that was taken over writes here what it likes: that costs reconnections, or all writes.
struct DatabaseBoard {
  static constexpr std::size_t kEvents = 5;

  std::atomic<std::uint32_t> timeline;
  std::atomic<std::uint32_t> resets;
  std::atomic<std::uint32_t> regressed;  ///< not 0: the database has forgotten something
  std::array<std::atomic<std::uint64_t>, kEvents> events;  ///< by DatabaseEvent
  LatencyHistogram commits;
  // What the follower last saw.
  SharedText<200> server;   ///< "db2:5432"
  SharedText<200> standby;  ///< "": none, or not shown
  std::atomic<std::uint32_t> waitsForStandby;
  std::atomic<std::int64_t> contentLag;  ///< changes that are not carried out
  std::atomic<std::uint64_t> contentBytes;
  std::atomic<std::uint32_t> contentSeen;  ///< not 0: files were compared since the master's start
  std::atomic<std::uint64_t> instance;     ///< random, of the master's start; 0: not made yet

  /// Nothing could be written from `begun` to `ended` (Unix time in ms); what touches the last gap
  /// makes it longer.
  void noteGap(std::int64_t begun, std::int64_t ended);
  DatabaseGap lastGap() const;

 private:
  std::atomic<std::int64_t> gapBegun_;
  std::atomic<std::int64_t> gapEnded_;
};

}  // namespace egalaxyd
