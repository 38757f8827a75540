#include "master/status/status_history.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>

namespace egalaxyd {

void StatusHistory::add(const StatusSample& sample) {
  samples_.push_back(sample);
  ++added_;
  if (samples_.size() > kKept) samples_.pop_front();
}

std::string StatusHistory::json(std::uint64_t since) const {
  if (since > added_) since = 0;
  const std::uint64_t before = added_ - samples_.size();  // forgotten
  std::string out = "[";
  for (std::uint64_t number = std::max(since, before) + 1; number <= added_; ++number) {
    const StatusSample& sample = samples_[static_cast<std::size_t>(number - before - 1)];
    if (out.size() > 1) out += ',';
    fmt::format_to(std::back_inserter(out), "[{},{},{},{},{},{},{},{},{}", number, sample.time,
                   sample.requests, sample.failed, sample.rateLimited, sample.bytesOut,
                   sample.uploads, sample.open, sample.memoryKib);
    if (sample.answered) {
      fmt::format_to(std::back_inserter(out), ",{:.6f},{:.6f},{:.6f}]", sample.p50, sample.p90,
                     sample.p99);
    } else {
      out += ",null,null,null]";
    }
  }
  return out + ']';
}

}  // namespace egalaxyd
