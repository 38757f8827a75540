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
#include "worker/upload/upload_file.h"
#include "worker/upload/upload_order.h"

namespace egalaxyd {

class Uploads;

/// Loop thread only, but for what its jobs do: those may touch all of it, since it stays where it
/// is until they are answered. See Uploads for the steps.
class Upload {
 public:
  Upload(Uploads& uploads, UploadOrder order, Request request, Responder reply);
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  /// Once; *this stays until it has ended.
  Task<void> carryOut();

 private:
  /// Why the records let an upload not go on.
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

  // Jobs of the storage lane.
  struct Announced {
    std::int64_t id;
    bool fileIsRecorded;  ///< the file that has the name now
    bool isTheirs;        ///< and by this uploader
  };
  Result<bool> lookIn(Storage& storage);
  Result<Announced> announceIn(Storage& storage, const std::string& sha256);
  Result<Latest> examine(Storage& storage, const UploadRecord& record);
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
  Sha256 sum_;                       ///< of what was received
  std::string sha256_;               ///< of all of it; "" before that, and of a deletion
  std::int64_t id_ = 0;              ///< of the pending record; 0: there is none
  bool recorded_ = false;            ///< the file that has the name: its sum is known
  std::optional<Response> refusal_;  ///< of a body that did not come as announced
  bool keepRecord_ = false;          ///< the pending one, or there is none any more
  bool answered_ = false;

  // What the storage lane has found out.
  Obstacle obstacle_ = Obstacle::kNone;
  std::string user_;
  UploadOutcome outcome_ = UploadOutcome::kDeleted;
  std::string previousSha256_;
};

}  // namespace egalaxyd
