// Connections of a worker to the applications, or capsules, of one mount.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/base/unique_function.h"
#include "common/config/config.h"
#include "common/shared/upstream_counts.h"
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
    std::string name;          ///< for the log: scgi "/app"
    std::uint64_t client = 0;  ///< IpAddress::limitNumber()
    std::shared_ptr<const Cancellation> cancellation;
    bool goesOn = false;    ///< even if the client leaves
    bool fresh = false;     ///< it wants no kept connection
    std::string user = {};  ///< whose application, where each user has one
  };
  using Place = ConnectionPlaces::Place;
  /// Waits its turn; nullopt: it took too long, or the client has left.
  Task<std::optional<Place>> takePlace(const Caller& caller, Services& services);

  struct Connected {
    UniqueFd socket;  ///< non-blocking
    std::size_t upstream = 0;
    bool wasKept = false;  ///< the application may have closed it meanwhile
    UpstreamCounts& counts;
  };
  /// Makes a new connection fit for a request; its socket may be taken. An Error sets the upstream
  /// aside as a refusal does.
  using Prepare = UniqueFunction<Task<Result<void>>(Connected&)>;
  /// For `place`, of those whose turn it is, the first that has a kept connection or answers;
  /// `prepare` may be empty. Errors, which are logged: kNoSpace (the launcher is away), kBusy (it
  /// has too much to do), kNotFound (the user has none), kIo (none answers, or the client has
  /// left).
  Task<Result<Connected>> connect(Place& place, const Caller& caller, Services& services,
                                  Prepare prepare);
  /// For a later connect(). The oldest is closed where there are more than `most`.
  void keep(std::size_t upstream, UniqueFd socket, std::size_t most);

  const std::string& address(std::size_t upstream) const { return args_.to[upstream]; }

 private:
  struct Kept {
    UniqueFd socket;
    Clock::time_point since;
  };

  Task<Result<void>> open(Connected& to, const Caller& caller, Services& services,
                          Prepare& prepare);
  Task<Result<void>> dial(Connected& to, const Caller& caller, Services& services);
  UniqueFd takeKept(std::size_t upstream);
  void closeOld();
  std::shared_ptr<ConnectionPlaces> placesOf(const std::string& user, std::uint32_t workers);

  const UpstreamArgs args_;
  const std::uint32_t first_;
  const milliseconds patience_;
  /// By Caller::user; gone when nobody holds or wants one.
  std::map<std::string, std::weak_ptr<ConnectionPlaces>> places_;
  UpstreamTurns turns_;
  std::vector<std::deque<Kept>> kept_;  ///< by upstream; the newest is the last
};

/// 41, after takePlace() gave none.
Response noConnectionFree();
/// After connect() has failed: 51 where the user has none, 41 without a launcher or where it has
/// too much to do, else 43 with `text`.
Response notConnected(const Error& why, const char* text);

}  // namespace egalaxyd
