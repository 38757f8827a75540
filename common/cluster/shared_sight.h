// What a worker's connections learn, told to all processes of the host.
#pragma once

#include <chrono>

#include "common/cluster/database_engine.h"
#include "common/shared/database_board.h"

namespace egalaxyd {

/// Any thread. `board` must outlive it.
class SharedSight final : public DatabaseSight {
 public:
  explicit SharedSight(DatabaseBoard& board) : board_(board) {}

  std::uint32_t timeline() const override;
  void sawTimeline(std::uint32_t timeline) override;
  std::uint32_t resets() const override;
  void reset() override;
  bool regressed() const override;
  void regress() override;
  void happened(DatabaseEvent event) override;
  void committed(std::chrono::nanoseconds time) override;

  /// Nothing could be written for so long, until just now.
  void wasAway(std::chrono::nanoseconds time);
  /// What an operator wants to know.
  void tell(const DatabaseFacts& facts);

 private:
  DatabaseBoard& board_;
};

}  // namespace egalaxyd
