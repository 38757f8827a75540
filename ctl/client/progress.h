// How far a long transfer is, in one line of a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace egalaxyd::ctl {

/// "13.4 MiB". Pure.
std::string bytesText(double bytes);

/// "13.4 MiB of 100.0 MiB, 13%, 6.7 MiB/s", or "13.4 MiB, 6.7 MiB/s" without a known total; the
/// rate is that of the whole time. Pure.
std::string progressText(std::uint64_t done, std::optional<std::uint64_t> total,
                         std::chrono::milliseconds elapsed);

/// Shows nothing in the first second, then draws at most five times a second; the destructor wipes
/// the line. One thread.
class Progress {
 public:
  /// `out` must outlive it. Not `shown`: does nothing, for what is no terminal.
  Progress(std::ostream& out, bool shown, std::optional<std::uint64_t> total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::uint64_t bytes);
  /// From here on, `done` of `total` is done, whatever it was; `label` stands before the numbers.
  void goOnFrom(std::string label, std::uint64_t done, std::uint64_t total);
  /// Makes room for another line; the next advance() may draw again.
  void wipe();

 private:
  using Clock = std::chrono::steady_clock;

  std::ostream& out_;
  bool shown_;
  std::string label_;
  std::optional<std::uint64_t> total_;
  std::uint64_t done_ = 0;
  Clock::time_point began_ = Clock::now();
  Clock::time_point next_ = began_ + std::chrono::seconds(1);
  bool drawn_ = false;
};

}  // namespace egalaxyd::ctl
