// A mutex between processes.
#pragma once

#include <pthread.h>

#include <chrono>

namespace egalaxyd {

/// Lies in memory that its processes share, and is made there before they are. A process that dies
/// with it, however it dies, gives it back. For std::unique_lock.
class ProcessMutex {
 public:
  ProcessMutex();
  ~ProcessMutex();
  ProcessMutex(const ProcessMutex&) = delete;
  ProcessMutex& operator=(const ProcessMutex&) = delete;

  /// False when another holds it for all of `patience`.
  [[nodiscard]] bool try_lock_for(std::chrono::milliseconds patience);
  void unlock();

 private:
  pthread_mutex_t mutex_;
};

}  // namespace egalaxyd
