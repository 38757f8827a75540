// The last minutes in samples, so that a page that is opened shows more than this moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace egalaxyd {

struct StatusSample {
  std::int64_t time = 0;  ///< Unix time in milliseconds
  // Totals since the master's start.
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;  ///< answered that something is wrong with this server
  std::uint64_t rateLimited = 0;
  std::uint64_t bytesOut = 0;
  std::uint64_t uploads = 0;
  // Of this moment.
  std::int64_t open = 0;
  std::uint64_t memoryKib = 0;
  // From a whole request line to the first bytes of its answer, in seconds, over the last samples.
  bool answered = false;  ///< else there are no such times
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

/// One thread at a time.
class StatusHistory {
 public:
  /// 15 minutes.
  static constexpr std::size_t kKept = 450;

  void add(const StatusSample& sample);
  /// Those behind sample number `since` (the first one is number 1), oldest first, as a JSON array
  /// of arrays whose members have the order of kColumns. One that is not there yet: all.
  std::string json(std::uint64_t since) const;

  static constexpr const char* kColumns =
      R"(["number","time","requests","failed","rate_limited","bytes_out","uploads","open",)"
      R"("memory_kib","p50","p90","p99"])";

 private:
  std::uint64_t added_ = 0;
  std::deque<StatusSample> samples_;
};

}  // namespace egalaxyd
