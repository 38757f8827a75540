// What a connection tells on its way, counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "common/cluster/database_engine.h"

namespace egalaxyd {

class RecordingSight final : public DatabaseSight {
 public:
  std::uint32_t timeline() const override { return timeline_; }
  void sawTimeline(std::uint32_t timeline) override {
    timeline_ = std::max(timeline_.load(), timeline);
  }
  std::uint32_t resets() const override { return resets_; }
  void reset() override { ++resets_; }
  bool regressed() const override { return regressed_; }
  void regress() override { regressed_ = true; }
  void happened(DatabaseEvent event) override {
    const std::lock_guard lock(mutex_);
    ++events_[event];
  }
  void committed(std::chrono::nanoseconds) override { ++commits_; }

  int count(DatabaseEvent event) {
    const std::lock_guard lock(mutex_);
    return events_[event];
  }
  int commits() const { return commits_; }

 private:
  std::atomic<std::uint32_t> timeline_ = 0;
  std::atomic<std::uint32_t> resets_ = 0;
  std::atomic<bool> regressed_ = false;
  std::atomic<int> commits_ = 0;
  std::mutex mutex_;
  std::map<DatabaseEvent, int> events_;
};

}  // namespace egalaxyd
