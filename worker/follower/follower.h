// Follows the database: what is uploaded to one host is in the files of all.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "worker/base/rare_error.h"
#include "worker/follower/content_copies.h"

namespace egalaxyd {

struct FollowerOptions {
  std::filesystem::path lock;  ///< a file; whoever holds its lock follows for this host
  FleetHost host;              ///< as it is reported, but for the lag
  /// Called on the thread, with what the database says of itself, whenever the host is reported.
  std::function<void(const DatabaseFacts&)> learnt = [](const DatabaseFacts&) {};
  std::chrono::milliseconds poll{1000};            ///< between looks, where nobody tells of changes
  std::chrono::milliseconds reportEvery{5000};     ///< the host's row
  std::chrono::milliseconds retryAfter{5000};      ///< files that could not be put in place
  std::chrono::milliseconds compareAfter{60'000};  ///< where there were too many of those
  /// When deletions are carried out once more, since an upload that was replaced by one may put its
  /// file in place late.
  std::chrono::milliseconds soon{1000};
  std::chrono::milliseconds later{30'000};
};

/// One per host: made in a worker, after the fork, with a thread of its own, which waits until no
/// other process of this host follows. It compares everything, then follows; after each new
/// connection it compares anew, since positions of the one before mean nothing then.
class Follower {
 public:
  /// `config` and `sight` must outlive it.
  Follower(const Config& config, std::unique_ptr<DatabaseLink> link, DatabaseSight& sight,
           FollowerOptions options);
  /// Waits for the call of the link that is under way.
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  /// The thread ends as soon as it can.
  void stop();

  /// Whether the files are what they were in the database since the start, or it cannot be reached,
  /// or another process sees to it. Any thread.
  bool hasLooked() const { return looked_; }
  /// Changes that are not carried out, as far as it knows. Any thread.
  std::uint64_t lag() const { return lag_; }

 private:
  using Place = std::pair<std::string, std::string>;
  struct Deletion {
    Clock::time_point due;
    SharedFile file;
  };

  void run();
  Result<void> takeDuty();
  Result<void> compareAll();
  Result<void> follow();
  Result<void> carryOut(std::vector<SharedFile> files);
  Result<void> carryOut(const SharedFile& file);
  Result<void> retry();
  Result<void> deleteAgain();
  Result<void> report();
  void noteFailure(const SharedFile& file, const Error& error);
  void pause(std::chrono::milliseconds most);

  const FollowerOptions options_;
  const std::unique_ptr<DatabaseLink> link_;
  DatabaseSight& sight_;
  const ContentCopies copies_;
  UniqueFd wake_;  ///< an eventfd: read, once it is to stop
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> looked_ = false;
  std::atomic<std::uint64_t> lag_ = 0;

  // The thread's.
  UniqueFd duty_;  ///< holds the lock
  bool compared_ = false;
  std::uint64_t position_ = 0;          ///< valid once compared_
  std::map<Place, SharedFile> failed_;  ///< what could not be put in place
  std::deque<Deletion> soon_;           ///< to be carried out for the second time
  std::deque<Deletion> later_;          ///< for the last time
  Clock::time_point nextReport_{};
  std::optional<Clock::time_point> misreported_;  ///< since when reports fail
  Clock::time_point nextRetry_{};
  std::optional<Clock::time_point> nextCompare_;
  RareError troubles_;
  RareError failures_;

  std::jthread thread_;
};

}  // namespace egalaxyd
