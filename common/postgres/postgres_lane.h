// A connection that writes, over all its reconnections: transactions with their marks, and what
// becomes of a commit that nobody answered.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/postgres/lane_mark.h"
#include "common/postgres/postgres_connector.h"
#include "common/postgres/postgres_handle.h"
#include "common/storage/storage.h"

namespace egalaxyd::postgres {

/// One thread at a time. `sight` must outlive it.
class Lane {
 public:
  /// `name` need not be unique: the row in the database gets a name of its own. kBusy: the database
  /// is away.
  static Result<std::unique_ptr<Lane>> open(const DatabaseAccess& access, std::string_view name,
                                            DatabaseSight& sight);

  /// As Storage's. begin() tries each host once where the connection is lost, then says kBusy;
  /// commit() tries until the patience is over.
  Result<void> begin(Access access, const StorageKeys& keys);
  Result<void> commit();
  void rollback();
  /// An outermost transaction without a mark, whose commit waits for no disk: it may be lost.
  Result<void> beginCheap();

  /// Within a transaction: takes the key until its end if nobody has it; whether it did.
  Result<bool> tryKey(std::string_view key);

  /// Compares the lane's mark with the database's, for one that has been idle. kBusy: the database
  /// is away; kIo: it has forgotten what it had acknowledged. Not within a transaction.
  Result<void> look();

  /// Where this lane adds to sums; the same after a restart.
  const std::string& slot() const { return slot_; }
  bool inTransaction() const { return depth_ > 0; }
  bool mayWrite() const { return depth_ > 0 && access_ == Access::kWrite; }

  /// As Connection's. Outside a transaction each is one of its own, and only reads.
  template <class... Values>
  Result<Rows> query(std::string_view sql, const Values&... values) {
    if (auto ready = beReady(); !ready) return ready.error();
    return connection_->query(sql, values...);
  }
  template <class... Values>
  Result<std::uint64_t> run(std::string_view sql, const Values&... values) {
    const auto rows = query(sql, values...);
    if (!rows) return rows.error();
    return rows->changed();
  }

  /// Within a transaction: goes with the next statement. Its failure takes back the outermost one.
  void later(std::string_view sql, std::vector<Kept> values) {
    if (connection_) connection_->later(sql, std::move(values));
  }
  /// Another transaction was in the way: the outermost one is lost, and may be run again.
  Error again(std::string_view why);

  std::optional<Error> trouble() const;

 private:
  Lane(Connector connector, const DatabaseAccess& access, std::string slot, DatabaseSight& sight);
  Result<void> beReady();
  Result<void> beginOutermost(Access access, const StorageKeys& keys, bool marked);
  Result<void> tryBegin(Access access, const StorageKeys& keys, bool marked);
  Result<void> commitOutermost();
  Result<void> lookOnce();
  Result<void> resolve();
  Result<void> connect();
  Result<LaneMark> fence();
  Result<void> take(const LaneMark& found);
  Error forgotten();
  Result<void> note(Error error);
  std::optional<Error> lost() const;

  Connector connector_;
  const std::chrono::milliseconds patience_;
  const std::string slot_;
  const std::string name_;  ///< of its row in `lanes`
  DatabaseSight& sight_;
  std::optional<Connection> connection_;
  LaneMark known_;
  std::chrono::steady_clock::time_point marked_{};  ///< when known_ was last acknowledged
  std::optional<MarkVerdict> verdict_;              ///< of the last connect()
  std::size_t depth_ = 0;
  Access access_ = Access::kRead;  ///< of the outermost transaction
  bool hasMark_ = false;           ///< whether that one has
  std::optional<Error> trouble_;
};

}  // namespace egalaxyd::postgres
