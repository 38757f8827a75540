// Finds the machine that has the database: the primary, of those in the url.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/postgres/postgres_handle.h"
#include "common/postgres/postgres_url.h"

namespace egalaxyd::postgres {

/// Used by one thread. `sight` must outlive it.
class Connector {
 public:
  static Result<Connector> make(const DatabaseAccess& access, DatabaseSight& sight);

  /// Tries each host once, at most two seconds each, behind the one that was used last. kBusy: none
  /// is a primary that answers; kInvalid: a pooler is between, or the tables are of an egalaxyd
  /// that is too new.
  Result<Connection> connect();

  /// Whether what has been learnt since makes the last connection one that must not be used: its
  /// primary was deposed, or the host's own row could not be written.
  bool isOutdated() const;
  /// Of the last connection.
  std::uint32_t timeline() const { return timeline_; }

 private:
  Connector(Url url, const DatabaseAccess& access, DatabaseSight& sight)
      : url_(std::move(url)), access_(access), sight_(&sight) {}
  Result<Connection> tryHost(const Host& host);
  Result<void> look(Connection& connection);

  Url url_;
  DatabaseAccess access_;
  DatabaseSight* sight_;
  std::size_t next_ = 0;  ///< the host to begin with
  std::uint32_t timeline_ = 0;
  std::uint32_t resets_ = 0;
};

}  // namespace egalaxyd::postgres
