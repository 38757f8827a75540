#include "common/process_mutex.h"

#include <cerrno>
#include <ctime>

namespace egalaxyd {

ProcessMutex::ProcessMutex() {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(&mutex_, &attributes);
  ::pthread_mutexattr_destroy(&attributes);
}

ProcessMutex::~ProcessMutex() { ::pthread_mutex_destroy(&mutex_); }

bool ProcessMutex::try_lock_for(std::chrono::milliseconds patience) {
  // The wall clock's: a step of it changes how long one that hangs is waited for, no more, and
  // ThreadSanitizer does not know the call for another clock.
  const auto until = std::chrono::system_clock::now().time_since_epoch() + patience;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(until);
  const timespec at{.tv_sec = seconds.count(), .tv_nsec = (until - seconds).count()};
  const int locked = ::pthread_mutex_timedlock(&mutex_, &at);
  // It protects nothing that its dead owner could have left half done.
  if (locked == EOWNERDEAD) ::pthread_mutex_consistent(&mutex_);
  return locked == 0 || locked == EOWNERDEAD;
}

void ProcessMutex::unlock() { ::pthread_mutex_unlock(&mutex_); }

}  // namespace egalaxyd
