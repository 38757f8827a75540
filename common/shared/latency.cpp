#include "common/shared/latency.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace egalaxyd {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

constexpr unsigned kSubBits = 4;
constexpr std::uint64_t kSub = 1U << kSubBits;
/// Nobody counts so far: whoever wrote more into the shared memory lies, and sums stay numbers.
constexpr std::uint64_t kMostSamples = std::uint64_t{1} << 40;
constexpr double kLongestSum = 9e18;  // nanoseconds

}  // namespace

std::size_t LatencyBuckets::indexOf(nanoseconds time) {
  const auto whole = std::chrono::floor<microseconds>(time);
  const auto value = static_cast<std::uint64_t>(
      std::clamp(whole, microseconds(0), kLongest - microseconds(1)).count());
  if (value < kSub) return value;
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kSubBits;
  return shift * kSub + (value >> shift);
}

nanoseconds LatencyBuckets::middleOf(std::size_t index) {
  const std::uint64_t shift = index < 2 * kSub ? 0 : index / kSub - 1;
  const std::uint64_t first = (index - shift * kSub) << shift;
  const std::uint64_t width = std::uint64_t{1} << shift;
  return microseconds(first) + nanoseconds(microseconds(width)) / 2;
}

void Latencies::add(const LatencyHistogram& histogram) {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::uint64_t more =
        std::min(histogram.counts_[i].load(std::memory_order_relaxed), kMostSamples);
    counts_[i] += more;
    count_ += more;
  }
}

void Latencies::add(const Latencies& others) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += others.counts_[i];
  count_ += others.count_;
}

Latencies Latencies::since(const Latencies& before) const {
  Latencies later;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    // Workers write this memory: a count may be less than before.
    later.counts_[i] = counts_[i] - std::min(before.counts_[i], counts_[i]);
    later.count_ += later.counts_[i];
  }
  return later;
}

nanoseconds Latencies::sum() const {
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    sum +=
        static_cast<double>(LatencyBuckets::middleOf(i).count()) * static_cast<double>(counts_[i]);
  }
  return nanoseconds(static_cast<std::int64_t>(std::min(sum, kLongestSum)));
}

nanoseconds Latencies::quantile(double quantile) const {
  if (count_ == 0) return nanoseconds(0);
  const auto rank = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (counts_[i] > 0 && seen >= rank) return LatencyBuckets::middleOf(i);
  }
  return LatencyBuckets::middleOf(counts_.size() - 1);
}

}  // namespace egalaxyd
