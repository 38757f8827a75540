// What a process that stands alone knows of its database: a tool, a test.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "common/cluster/database_engine.h"

namespace egalaxyd {

class OwnSight : public DatabaseSight {
 public:
  std::uint32_t timeline() const override { return timeline_; }
  void sawTimeline(std::uint32_t timeline) override {
    timeline_ = std::max(timeline_.load(), timeline);
  }
  std::uint32_t resets() const override { return resets_; }
  void reset() override { ++resets_; }
  bool regressed() const override { return regressed_; }
  void regress() override { regressed_ = true; }
  void happened(DatabaseEvent) override {}
  void committed(std::chrono::nanoseconds) override {}

 private:
  std::atomic<std::uint32_t> timeline_ = 0;
  std::atomic<std::uint32_t> resets_ = 0;
  std::atomic<bool> regressed_ = false;
};

}  // namespace egalaxyd
