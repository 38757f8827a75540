// What the load generator saw; processes send theirs through a pipe, the parent adds them up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd::load {

enum class Outcome : std::size_t {
  kOk,
  kRefused,  ///< the connection was refused
  kReset,    ///< reset, or ended before anything was answered
  kTimeout,  ///< no complete answer within --timeout
  kTls,      ///< an alert or a protocol error
  kStatus,   ///< not success
  kShort,    ///< the end came early, or without a close_notify
  kBody,     ///< other bytes, or more of them, than expected
};
constexpr std::size_t kOutcomes = 8;
constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {
    "ok", "refused", "reset", "timeout", "tls", "status", "short", "body"};

struct Report {
  std::array<std::uint64_t, kOutcomes> outcomes{};
  std::uint64_t bodyBytes = 0;     ///< of complete answers
  std::uint64_t stallsClosed = 0;  ///< stalled clients that the server got rid of
  std::uint64_t beganNs = 0;       ///< CLOCK_MONOTONIC; 0: nothing was measured
  std::uint64_t endedNs = 0;
  std::vector<std::uint32_t> latenciesUs;  ///< of complete answers, connect to close_notify

  void count(Outcome outcome) { ++outcomes[static_cast<std::size_t>(outcome)]; }
  std::uint64_t ok() const { return outcomes[0]; }
  std::uint64_t failed() const {
    return std::accumulate(outcomes.begin() + 1, outcomes.end(), std::uint64_t{0});
  }
  void add(const Report& other);
  /// One object, one line. Reorders `latenciesUs`.
  std::string json();
};

/// Blocking; false when the other end is gone or the data is cut.
bool writeReport(int fd, const Report& report);
bool readReport(int fd, Report& report);

}  // namespace egalaxyd::load
