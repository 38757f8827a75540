// Clients that send requests without a pause.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace egalaxyd {

/// Threads that fetch one URL of Gemini or Spartan again and again until stop(), each over a
/// connection of its own every time. What is not a whole successful response counts as failed.
class Load {
 public:
  Load(std::uint16_t port, std::string url, unsigned clients);
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Returns when each client has finished what it was doing.
  void stop();
  std::size_t served() const { return served_; }
  std::size_t failed() const { return failed_; }
  /// Waits until `more` further requests were served.
  bool waitForServed(std::size_t more) const;
  /// One line for each failure.
  std::string failures() const;

 private:
  void run(std::uint16_t port, const std::string& url);

  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> served_{0};
  std::atomic<std::size_t> failed_{0};
  mutable Mutex mutex_;
  std::string failures_ EGALAXYD_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace egalaxyd
