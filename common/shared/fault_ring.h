// The last warnings and errors of one process, for those who look at the server.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

struct Fault {
  std::int64_t time = 0;  ///< Unix time
  bool isError = false;   ///< else a warning
  std::string text;
};

/// Written by the threads of one process, read by all: lives in zeroed shared memory. A text that
/// is written while it is read may come out mixed.
class FaultRing {
 public:
  static constexpr std::size_t kKept = 8;
  /// What is longer is cut.
  static constexpr std::size_t kMostText = 232;

  void add(std::int64_t time, bool isError, std::string_view text);
  /// At most kKept, in no order, without control characters. Nothing else is believed of them.
  std::vector<Fault> recent() const;

 private:
  struct Entry {
    std::atomic<std::int64_t> time;  ///< 0: none
    std::atomic<std::uint16_t> size;
    /// A number, since a bool with any other value than 0 or 1 must not be read.
    std::atomic<std::uint8_t> isError;
    std::array<std::atomic<char>, kMostText> text;
  };
  std::array<Entry, kKept> entries_;
  std::atomic<std::uint64_t> added_;
};

}  // namespace egalaxyd
