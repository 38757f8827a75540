// One upload, or deletion, from its request to its answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/sha256.h"
#include "common/storage/storage.h"
#include "worker/base/task.h"
#include "worker/site/request.h"
#include "worker/site/responder.h"
#include "worker/upload/file_turns.h"
#include "worker/upload/old_file.h"
#include "worker/upload/upload_file.h"
#include "worker/upload/upload_order.h"

namespace egalaxyd {

class Uploads;

/// Loop thread only, except for its jobs: these may touch all members, since it stays in place
/// until they are answered. See Uploads for the steps.
class Upload {
 public:
  Upload(Uploads& uploads, UploadOrder order, Request request, Responder reply);
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  /// Call once; *this must stay until the task has ended.
  Task<void> carryOut();

 private:
  /// Why the records forbid an upload.
  enum class Obstacle { kNone, kUserIsFull, kAllIsFull, kTooManyFiles, kNotTheirs };
  using Latest = std::optional<UploadRecord>;

  bool isDelete() const { return request_.upload->size == 0; }
  std::pair<std::string, std::string> names() const;
  UploadRecord record() const;

  // The steps.
  Task<Result<void>> store();
  Task<Result<void>> remove();
  Task<Result<void>> askFirst();
  Task<Result<void>> receive();
  Task<Result<void>> append(const std::string& chunk);
  Task<Result<void>> complete(const std::string& rest);
  Task<Result<void>> write(const std::string& chunk, bool last);
  Task<Result<void>> announce(std::string sha256);
  Task<Result<void>> recordWhole();
  Task<Result<void>> settle();
  Task<Result<void>> settleAgain(Error error);
  Task<Result<void>> readOld();
  Task<Result<void>> appendOld(const std::string& part);
  Task<Result<void>> lookAgain();

  // Jobs of the storage lane.
  struct Announced {
    std::int64_t id;
    bool fileIsRecorded;  ///< of the file that has the name now
    bool isTheirs;        ///< and the record is of this uploader
  };
  Result<bool> lookIn(Storage& storage);
  Result<Announced> announceIn(Storage& storage, const std::string& sha256);
  Result<Latest> examine(Storage& storage, const UploadRecord& record);
  Result<void> keepIn(Storage& storage, std::int64_t pending) const;
  Result<void> pruneIn(Storage& storage) const;
  Result<void> settleIn(Storage& storage);
  Result<bool> settleNamed(Storage& storage) const;

  // The answer.
  void succeed();
  void answerUnknown();
  void giveUp(const Error& error);
  Response refusalOf(const Error& error);
  Response refusalOfObstacle() const;
  void dropRecord();

  Uploads& uploads_;
  const UploadOrder order_;
  Request request_;
  Responder reply_;
  std::shared_ptr<UploadFile> file_;
  Sha256 sum_;             ///< of what was received
  std::string sha256_;     ///< of all of it; "" before that, and for a deletion
  std::int64_t id_ = 0;    ///< of the pending record; 0: there is none
  bool recorded_ = false;  ///< the file that has the name has a record, and so a known sum
  FileTurns::Turn turn_;   ///< while versions are kept: from reading the old file to the end
  OldFile oldFile_;        ///< as it was read to be kept
  std::optional<OldContent> old_;    ///< what is kept of it; nullopt: there is nothing to keep
  bool oldHasChanged_ = false;       ///< since it was read
  std::optional<Response> refusal_;  ///< for a body that did not come as announced
  bool keepRecord_ = false;          ///< do not drop the pending record, or there is none any more
  bool answered_ = false;

  // Results of the storage lane's jobs.
  Obstacle obstacle_ = Obstacle::kNone;
  std::string user_;
  UploadOutcome outcome_ = UploadOutcome::kDeleted;
  std::string previousSha256_;
};

}  // namespace egalaxyd
