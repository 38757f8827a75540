// A worker's uploads: from a request that may write to a file with its name, a record, an answer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/event_loop.h"
#include "common/shared/shared_state.h"
#include "common/storage/storage.h"
#include "common/wire/ip_address.h"
#include "worker/base/lane.h"
#include "worker/base/rare_error.h"
#include "worker/base/storage_lane.h"
#include "worker/base/task.h"
#include "worker/site/request.h"
#include "worker/site/responder.h"
#include "worker/upload/folder_sync.h"
#include "worker/upload/upload_order.h"

namespace egalaxyd {

/// Loop thread only; made in the worker. An upload goes through these steps, and an answer that
/// says it is stored comes after the last:
///
///   body, chunk by chunk, to a file without a name                 threads of its own
///   its fsync, and beside it the record, as pending, committed     those, and the storage lane
///   rename; the folder's fsync; the record, as settled, committed  storage lane, under its lock
///
/// Where there are quotas, or files have owners, the pending record comes before the first write:
/// it reserves what was announced, for all workers. Uploads that are small enough to come in one
/// piece are looked at before, and reserve when they have come.
///
/// Uploads that wait for the storage lane share its commits and the folders' fsync. A crash
/// leaves the old file or the new, and a pending record from which recoverUploads() can tell which.
///
/// An fsync that fails is final: the file gets no name, or the old one back, and the client a
/// refusal. A commit that fails once the file has its name may have reached the disk or not; the
/// old file is gone, so the record is settled in another commit, and the answer waits for it for up
/// to kSettlePatience. After that the client is told that nobody knows, and the record is settled
/// when that can be.
class Uploads {
 public:
  /// `folders` is what the storage lane syncs before each commit; `worker` is this process's id;
  /// `database` is where the records grow.
  Uploads(EventLoop& loop, Tasks& tasks, StorageLane& storage, FolderSync& folders,
          WorkerSlot& counters, AddressMask addressMask, std::int64_t worker,
          std::filesystem::path database);
  ~Uploads();

  /// Stores the request's body, or deletes the file when there is none. `request` may write there.
  void carryOut(UploadOrder order, Request request, Responder reply);
  /// Answers an edit of what is no file that can be read: an empty page where nothing has the name.
  void offerNew(UploadPlace place, std::string host, Request request, Responder reply);
  /// Remembers that `request` was refused, and answers with `refusal`. Of a flood of refusals, not
  /// every one is remembered.
  void refuse(const std::string& host, const Request& request, Response refusal, Responder reply);

  /// Jobs whose answers have not come yet.
  std::size_t pending() const { return lane_.pending(); }
  /// Nobody waits for an answer any more: what could not be settled yet is left to the master.
  void leave();

 private:
  friend class Upload;
  Task<void> carriedOut(UploadOrder order, Request request, Responder reply);
  Task<void> offer(UploadPlace place, std::string host, Request request, Responder reply);
  /// When those whose records could not be settled try again; an Error after leave().
  Async<Result<void>> nextAttempt();
  void attemptNow(const Result<void>& result);
  void remember(const std::string& host, const Request& request, const std::string& mime,
                std::string why);
  UploadRecord recordOf(const std::string& host, const Request& request, std::string mime) const;

  Tasks& tasks_;
  StorageLane& storage_;
  FolderSync& folders_;
  WorkerSlot& counters_;
  const AddressMask addressMask_;
  const std::int64_t worker_;
  const std::filesystem::path database_;
  double mayRemember_;  ///< refusals that may be recorded now
  Clock::time_point remembered_{};
  Lane lane_;
  std::vector<Async<Result<void>>::Done> attempts_;  ///< who waits for the next
  Timer settleTimer_;
  bool left_ = false;
  RareError troubles_;
};

}  // namespace egalaxyd
