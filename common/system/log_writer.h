// Writes whole lines to the places of a process's log.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// In the logging thread, which never waits: a line that would block is dropped and counted. Or,
/// once started, in one thread for all places, where one that takes nothing holds no other up.
class LogWriter {
 public:
  struct Place {
    UniqueFd fd;
    bool isFile = false;  ///< takes any number of lines in one call, and never makes a writer wait
    /// The line that says how many lines are missing.
    std::function<std::string(std::uint64_t)> missing;
  };
  explicit LogWriter(std::vector<Place> places);
  ~LogWriter() { stopThread(); }
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// `line` ends with a newline. Any thread.
  void write(std::size_t place, std::string_view line);
  /// Later lines go to `fd`. Never waits. There need be no such place.
  void change(std::size_t place, UniqueFd fd);
  /// Lines dropped since the last call, of all places.
  std::uint64_t takeDropped() { return dropped_.exchange(0); }

  /// For processes that fork no more.
  void startThread();
  /// Writes what is held back, as far as it is taken at once.
  void stopThread();

 private:
  enum class Outcome { kDone, kStuck, kFailed };

  /// What threads share of a place.
  struct Queue {
    std::string held;  ///< whole lines
    UniqueFd next;     ///< to become the place's
    /// Lines that were dropped since the place was last told how many are missing.
    std::uint64_t untold = 0;
  };
  /// A place, and the lines that are being written there.
  struct Hand {
    Place place;
    std::string lines;
    std::size_t behindReport = 0;  ///< bytes of it that are no word of missing lines
    std::uint64_t told = 0;        ///< how many lines that word says are missing
  };

  void run();
  /// Takes new descriptors, and lines for hands that are empty. The caller closes `old` without the
  /// mutex: that may take long.
  void takeAll(std::vector<UniqueFd>& old) EGALAXYD_REQUIRES(mutex_);
  /// Puts a word of missing lines before those in hand.
  static void tellMissing(Hand& hand, Queue& queue);
  /// Takes off the front of a hand's lines what the place takes now.
  static Outcome push(Hand& hand);
  /// Drops what is in hand; how many lines are missing by that without a word in the log.
  std::uint64_t giveUp(Hand& hand);
  /// Until one of those that are stuck has room, or for a short while.
  void awaitRoom(std::vector<pollfd>& stuck);

  std::vector<Hand> hands_;  ///< the thread's, once there is one
  Mutex mutex_;
  Condition wake_;
  std::vector<Queue> queues_ EGALAXYD_GUARDED_BY(mutex_);
  std::size_t heldBytes_ EGALAXYD_GUARDED_BY(mutex_) = 0;
  bool stopping_ EGALAXYD_GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> dropped_{0};
  bool threaded_ = false;  ///< changes only while there is no thread
  std::thread thread_;
};

}  // namespace egalaxyd
