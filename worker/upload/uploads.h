// A worker's uploads: from a request that may write to a named file, a record and an answer.
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
#include "worker/upload/change_teller.h"
#include "worker/upload/file_turns.h"
#include "worker/upload/folder_sync.h"
#include "worker/upload/upload_order.h"

namespace egalaxyd {

/// Loop thread only; made in the worker. An upload goes through these steps, and an answer that
/// says it is stored comes after the last. Where the files hold the content (FolderUpload):
///
///   body, chunk by chunk, to a file without a name                 threads of its own
///   its fsync, and beside it the record, as pending, committed     those, and the storage lane
///   rename; the folder's fsync; the record, as settled, committed  storage lane, under its lock
///
/// With quotas, or if files have owners, the pending record comes before the first write: it
/// reserves what was announced, for all workers. Uploads that fit into one chunk are only checked
/// before, and reserve when they have arrived.
///
/// Where versions are kept, the content of the file that is replaced goes into the storage with the
/// pending record, before it is replaced: it is read when the body is there. Uploads of the same
/// file wait for each other from then on; of those of other workers, the later one reads again.
///
/// Uploads that wait for the storage lane share its commits and the folders' fsync (group commit).
/// A crash leaves the old file or the new; recoverUploads() can tell which by a pending record.
///
/// An fsync that fails is final: the file gets no name, or the name gets the old file back, and the
/// client gets a refusal. If the commit fails after the file has its name, it may have reached the
/// disk or not (write-ahead log), and the old file is gone. So the record is settled in another
/// commit, and the answer waits for it for up to kSettlePatience. After that the client is told
/// that the outcome is not known, and the record is settled when that is possible.
///
/// Where a database holds the content, for several hosts (DatabaseUpload):
///
///   body, chunk by chunk, to a file without a name                 threads of its own
///   its fsync, and beside it record and content, committed         those, and the storage lane
///   rename, if no later upload has come first                      threads of its own
///
/// A client whose upload's commit nobody can tell of is told so; whatever else goes wrong after the
/// commit is mended by the host's follower, and the upload is stored.
class Uploads {
 public:
  /// `folders` is synced by the storage lane before each commit; `worker` is this process's id;
  /// `database` is on the disk where the records grow. `teller`: a database holds the content, and
  /// this tells of what changed; nullptr: the files hold it.
  Uploads(EventLoop& loop, Tasks& tasks, StorageLane& storage, FolderSync& folders,
          WorkerSlot& counters, AddressMask addressMask, std::int64_t worker,
          std::filesystem::path database, ChangeTeller* teller = nullptr);
  ~Uploads();

  /// Stores the request's body, or deletes the file if there is none. `request` must be allowed to.
  void carryOut(UploadOrder order, Request request, Responder reply);
  /// Answers an edit if no file can be read: with an empty page if nothing has the name.
  void offerNew(UploadPlace place, std::string host, Request request, Responder reply);
  /// Records that `request` was refused, and answers with `refusal`. In a flood of refusals, not
  /// every one is recorded.
  void refuse(const std::string& host, const Request& request, Response refusal, Responder reply);

  /// Jobs whose answers have not come yet.
  std::size_t pending() const { return lane_.pending(); }
  /// The worker leaves: what is not settled yet is left to the master.
  void leave();

 private:
  friend class Upload;
  friend class FolderUpload;
  friend class DatabaseUpload;
  Task<void> carriedOut(UploadOrder order, Request request, Responder reply);
  Task<void> offer(UploadPlace place, std::string host, Request request, Responder reply);
  /// Completes when it is time to settle failed records again; an Error after leave().
  Async<Result<void>> nextAttempt();
  void attemptNow(const Result<void>& result);
  Async<Result<void>> findElsewhere(std::string host, std::string path);
  void sweep();
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
  ChangeTeller* const teller_;
  double mayRemember_;  ///< token bucket: refusals that may be recorded now
  Clock::time_point remembered_{};
  Lane lane_;
  FileTurns turns_;                                  ///< of uploads that keep what they replace
  std::vector<Async<Result<void>>::Done> attempts_;  ///< uploads that wait for the next
  Timer settleTimer_;
  bool left_ = false;
  bool sweeping_ = false;
  RareError troubles_;
};

}  // namespace egalaxyd
