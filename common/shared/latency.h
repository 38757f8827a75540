// How long things took: counts in buckets whose width grows with the value, so that any percentile
// is off by at most 1/32 of itself, whatever its size.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace egalaxyd {

/// Microseconds below 16 have a bucket each; above, each doubling is cut into 16 buckets.
/// Everything from kLongest on counts as just below it.
class LatencyBuckets {
 public:
  static constexpr std::size_t kCount = 448;
  static constexpr std::chrono::microseconds kLongest{std::int64_t{1} << 31};  // 36 minutes

  static std::size_t indexOf(std::chrono::nanoseconds time);
  /// The middle of a bucket, which stands for all in it.
  static std::chrono::nanoseconds middleOf(std::size_t index);
};

/// Written by one worker, read by all: lives in zeroed shared memory and is never constructed.
class LatencyHistogram {
 public:
  void add(std::chrono::nanoseconds time) {
    counts_[LatencyBuckets::indexOf(time)].fetch_add(1, std::memory_order_relaxed);
  }

 private:
  friend class Latencies;
  std::array<std::atomic<std::uint64_t>, LatencyBuckets::kCount> counts_;
};

/// The sum of several histograms at one moment.
class Latencies {
 public:
  void add(const LatencyHistogram& histogram);
  void add(const Latencies& others);
  /// Of these, those that `before`, an earlier sum of the same histograms, does not have.
  Latencies since(const Latencies& before) const;

  std::uint64_t count() const { return count_; }
  std::chrono::nanoseconds sum() const;
  /// The value that the share `quantile` (0 to 1) of all does not exceed; 0 when there is none.
  std::chrono::nanoseconds quantile(double quantile) const;

 private:
  std::array<std::uint64_t, LatencyBuckets::kCount> counts_{};
  std::uint64_t count_ = 0;
};

}  // namespace egalaxyd
