// Names of worker processes that outlive them, in records.
#pragma once

#include <cstdint>
#include <set>

#include "common/base/random_number.h"

namespace egalaxyd {

/// The ids that one master gives; no other master gives the same.
class WorkerIds {
 public:
  /// Above 0; never one twice.
  std::int64_t next() { return (run_ << kBits) + ++last_; }
  /// Whether the worker was another master's.
  bool isForeign(std::int64_t id) const { return id >> kBits != run_; }

 private:
  static constexpr int kBits = 32;
  std::int64_t run_ = static_cast<std::int64_t>(randomNumber() >> kBits) | 1;
  std::int64_t last_ = 0;
};

/// Workers that write no more: some of this master's, and all of those before it.
struct DeadWorkers {
  WorkerIds ids;
  std::set<std::int64_t> ours;

  bool contains(std::int64_t id) const { return ids.isForeign(id) || ours.contains(id); }
};

}  // namespace egalaxyd
