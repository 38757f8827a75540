#include "load/report.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace egalaxyd::load {
namespace {

/// Everything but the latencies; sender and receiver are the same program.
struct Fixed {
  std::array<std::uint64_t, kOutcomes> outcomes;
  std::uint64_t bodyBytes, stallsClosed, beganNs, endedNs, latencies;
};

bool writeAll(int fd, const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t wrote = ::write(fd, from, bytes);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    from += wrote;
    bytes -= static_cast<std::size_t>(wrote);
  }
  return true;
}

bool readAll(int fd, void* data, std::size_t bytes) {
  char* into = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = ::read(fd, into, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

/// `sorted` is not empty; nearest rank.
double quantileMs(const std::vector<std::uint32_t>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)] / 1e3;
}

}  // namespace

void Report::add(const Report& other) {
  for (std::size_t i = 0; i < kOutcomes; ++i) outcomes[i] += other.outcomes[i];
  bodyBytes += other.bodyBytes;
  stallsClosed += other.stallsClosed;
  if (other.beganNs != 0) beganNs = beganNs == 0 ? other.beganNs : std::min(beganNs, other.beganNs);
  endedNs = std::max(endedNs, other.endedNs);
  latenciesUs.insert(latenciesUs.end(), other.latenciesUs.begin(), other.latenciesUs.end());
}

std::string Report::json() {
  std::sort(latenciesUs.begin(), latenciesUs.end());
  const double seconds = static_cast<double>(endedNs - beganNs) / 1e9;
  std::string kinds;
  for (std::size_t i = 1; i < kOutcomes; ++i) {
    kinds += fmt::format("{}\"{}\":{}", i == 1 ? "" : ",", kOutcomeNames[i], outcomes[i]);
  }
  std::string latency = "null";
  if (!latenciesUs.empty()) {
    latency = fmt::format(R"({{"p50":{:.3f},"p90":{:.3f},"p99":{:.3f},"max":{:.3f}}})",
                          quantileMs(latenciesUs, 0.5), quantileMs(latenciesUs, 0.9),
                          quantileMs(latenciesUs, 0.99), latenciesUs.back() / 1e3);
  }
  return fmt::format(
      R"({{"ok":{},"failed":{},"failures":{{{}}},"seconds":{:.6f},"per_second":{:.1f},)"
      R"("latency_ms":{},"body_bytes":{},"stalls_closed":{}}})",
      ok(), failed(), kinds, seconds, seconds > 0 ? static_cast<double>(ok()) / seconds : 0.0,
      latency, bodyBytes, stallsClosed);
}

bool writeReport(int fd, const Report& report) {
  const Fixed fixed{report.outcomes, report.bodyBytes, report.stallsClosed,
                    report.beganNs,  report.endedNs,   report.latenciesUs.size()};
  return writeAll(fd, &fixed, sizeof fixed) &&
         writeAll(fd, report.latenciesUs.data(), report.latenciesUs.size() * sizeof(std::uint32_t));
}

bool readReport(int fd, Report& report) {
  Fixed fixed{};
  if (!readAll(fd, &fixed, sizeof fixed)) return false;
  report.outcomes = fixed.outcomes;
  report.bodyBytes = fixed.bodyBytes;
  report.stallsClosed = fixed.stallsClosed;
  report.beganNs = fixed.beganNs;
  report.endedNs = fixed.endedNs;
  report.latenciesUs.resize(fixed.latencies);
  return readAll(fd, report.latenciesUs.data(), fixed.latencies * sizeof(std::uint32_t));
}

}  // namespace egalaxyd::load
