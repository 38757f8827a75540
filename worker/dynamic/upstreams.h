// Connections of a worker to the applications, or capsules, of one mount.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/base/unique_function.h"
#include "common/config/config.h"
#include "worker/base/task.h"
#include "worker/dynamic/connection_places.h"
#include "worker/dynamic/upstream_turns.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Built before the fork, used by each worker for itself on its loop.
class Upstreams {
 public:
  /// `first`: UpstreamMount::number of the first address. `patience`: how long a request may wait
  /// for one of args.connections.
  Upstreams(UpstreamArgs args, std::uint32_t first, milliseconds patience);

  /// Whose call it is.
  struct Caller {
    std::string name;  ///< for the log: scgi "/app"
    std::shared_ptr<const Cancellation> cancellation;
    bool goesOn = false;  ///< even if the client leaves
  };
  using Place = ConnectionPlaces::Place;
  /// Waits its turn; nullopt: it took too long, or the client has left.
  Task<std::optional<Place>> takePlace(const Caller& caller, Services& services);

  struct Connected {
    UniqueFd socket;  ///< non-blocking
    std::size_t upstream = 0;
  };
  /// Makes a new connection fit for a request; its socket may be taken. An Error sets the upstream
  /// aside as a refusal does.
  using Prepare = UniqueFunction<Task<Result<void>>(Connected&)>;
  /// Of those whose turn it is, the first that answers; nullopt: none does, which is logged, or the
  /// client has left. What is connected once is not tried again. `prepare` may be empty.
  Task<std::optional<Connected>> connect(const Caller& caller, Services& services, Prepare prepare);

  /// In the order in which the next request tries them.
  std::vector<std::size_t> order() { return turns_.order(Clock::now()); }
  const std::string& address(std::size_t upstream) const { return args_.to[upstream]; }
  std::size_t count() const { return args_.to.size(); }

 private:
  Task<Result<Connected>> dial(std::size_t upstream, const Caller& caller, Services& services);

  const UpstreamArgs args_;
  const std::uint32_t first_;
  const milliseconds patience_;
  ConnectionPlaces places_;
  UpstreamTurns turns_;
};

/// 41, after takePlace() gave none.
Response noConnectionFree();

}  // namespace egalaxyd
