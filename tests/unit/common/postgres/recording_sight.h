// What a connection tells on its way, counted.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>

#include "common/cluster/own_sight.h"

namespace egalaxyd {

class RecordingSight final : public OwnSight {
 public:
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
  std::atomic<int> commits_ = 0;
  std::mutex mutex_;
  std::map<DatabaseEvent, int> events_;
};

}  // namespace egalaxyd
