#include "common/latency.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace egalaxyd {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

constexpr unsigned kSubBits = 4;
constexpr std::uint64_t kSub = 1U << kSubBits;

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
    const std::uint64_t more = histogram.counts_[i].load(std::memory_order_relaxed);
    counts_[i] += more;
    count_ += more;
  }
}

nanoseconds Latencies::sum() const {
  nanoseconds sum{0};
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    sum += LatencyBuckets::middleOf(i) * static_cast<std::int64_t>(counts_[i]);
  }
  return sum;
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
