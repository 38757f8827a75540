// A mutex, its lock and its condition variable, annotated for clang's -Wthread-safety.
// tests/thread_safety.py runs clang over each file that includes this header: a guarded member that
// is touched without its mutex is an error there. g++ does not see the annotations.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#ifdef __clang__
#define EGALAXYD_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define EGALAXYD_THREAD_SAFETY(attribute)
#endif

/// Of a member: read and written only with `mutex` held.
#define EGALAXYD_GUARDED_BY(mutex) EGALAXYD_THREAD_SAFETY(guarded_by(mutex))
/// Of a function or a lambda: its caller holds `mutex`.
#define EGALAXYD_REQUIRES(mutex) EGALAXYD_THREAD_SAFETY(requires_capability(mutex))
/// Of a function: its caller must not hold `mutex`, because the function takes it.
#define EGALAXYD_EXCLUDES(mutex) EGALAXYD_THREAD_SAFETY(locks_excluded(mutex))

namespace egalaxyd {

/// Between threads of one process; not recursive.
class EGALAXYD_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() EGALAXYD_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void unlock() EGALAXYD_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

/// Holds the mutex for a scope; may let go of it and take it again meanwhile.
class EGALAXYD_THREAD_SAFETY(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) EGALAXYD_THREAD_SAFETY(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() EGALAXYD_THREAD_SAFETY(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() EGALAXYD_THREAD_SAFETY(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }
  void lock() EGALAXYD_THREAD_SAFETY(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

/// A condition variable. The caller of a wait holds `mutex`; the wait lets go of it and holds it
/// again when it returns. `isMet` is a lambda that reads guarded members, so it is marked:
/// `[this]() EGALAXYD_REQUIRES(mutex_) { return stopping_; }`.
class Condition {
 public:
  void notifyOne() { wake_.notify_one(); }
  void notifyAll() { wake_.notify_all(); }

  /// Returns when notified, or for no reason.
  void wait(Mutex& mutex) EGALAXYD_REQUIRES(mutex) {
    const Adopted lock(mutex);
    wake_.wait(lock.get());
  }
  template <class IsMet>
  void wait(Mutex& mutex, IsMet isMet) EGALAXYD_REQUIRES(mutex) {
    const Adopted lock(mutex);
    wake_.wait(lock.get(), isMet);
  }
  /// Returns when notified, at `until`, or for no reason.
  void waitUntil(Mutex& mutex, std::chrono::steady_clock::time_point until)
      EGALAXYD_REQUIRES(mutex) {
    const Adopted lock(mutex);
    wake_.wait_until(lock.get(), until);
  }
  /// Whether it was met within `time`.
  template <class IsMet>
  bool waitFor(Mutex& mutex, std::chrono::steady_clock::duration time, IsMet isMet)
      EGALAXYD_REQUIRES(mutex) {
    const Adopted lock(mutex);
    return wake_.wait_for(lock.get(), time, isMet);
  }

 private:
  /// The lock type that the standard condition variable wants, of a mutex that is and stays held.
  class Adopted {
   public:
    explicit Adopted(Mutex& mutex) : lock_(mutex.mutex_, std::adopt_lock) {}
    ~Adopted() { lock_.release(); }
    Adopted(const Adopted&) = delete;
    Adopted& operator=(const Adopted&) = delete;
    std::unique_lock<std::mutex>& get() const { return lock_; }

   private:
    mutable std::unique_lock<std::mutex> lock_;
  };

  std::condition_variable wake_;
};

}  // namespace egalaxyd
