// Who may run and who has to wait: places of the launcher and of each mount, turns of clients.
// Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace egalaxyd {

/// Who waits for a place of its mount holds up no other mount, and whoever wants many runs holds up
/// nobody else: workers take turns, and so do the clients of each; what one client wants goes in
/// its order. So a worker that tells lies about clients has no more turns than it would have.
class RunQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Limits {
    std::uint32_t processes = 0;  ///< that run at once
    std::uint32_t queue = 0;      ///< that may wait
    std::chrono::milliseconds patience{};
  };
  /// Who wants a run.
  struct Asker {
    std::uint64_t worker = 0;
    std::uint64_t client = 0;  ///< as the worker numbers them
    bool operator==(const Asker&) const = default;
  };
  enum class Verdict {
    kStart,  ///< it has a place
    kWait,
    kFull,  ///< too many wait already: it is not in the queue
  };

  explicit RunQueue(Limits limits) : limits_(limits) {}

  /// `run` is nobody else's number; `mostOfMount` is always the same for one mount.
  Verdict add(std::uint64_t run, const Asker& asker, std::uint32_t mount, std::uint32_t mostOfMount,
              Time now);
  /// A run of `mount` that had a place has ended.
  void giveBack(std::uint32_t mount);
  /// `run` waits no longer, if it did.
  void forget(std::uint64_t run);

  /// The next that may start; it has its place by that. To be asked until there is none, after
  /// each giveBack().
  std::optional<std::uint64_t> next();
  /// Those whose patience is over; they wait no longer.
  std::vector<std::uint64_t> late(Time now);
  /// When late() will name somebody.
  std::optional<Time> nextLate() const;

  std::uint32_t running() const { return running_; }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    std::uint64_t run;
    Asker asker;
    std::uint32_t mount;
    std::uint32_t mostOfMount;
    Time until;
    // The last turns, of those that were had while others waited; 0: none.
    std::uint64_t workersTurn = 0;
    std::uint64_t clientsTurn = 0;
  };

  bool hasPlace(std::uint32_t mount, std::uint32_t most) const;
  void take(std::uint32_t mount);
  void haveTurn(const Asker& asker);

  Limits limits_;
  std::uint32_t running_ = 0;
  std::map<std::uint32_t, std::uint32_t> ofMount_;  ///< that run; none that is 0
  std::deque<Waiting> waiting_;                     ///< in their order
  std::uint64_t turn_ = 0;
};

}  // namespace egalaxyd
