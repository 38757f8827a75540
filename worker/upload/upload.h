// One upload, or deletion, from its request to its answer: the steps that are the same wherever the
// content is kept.
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

/// Loop thread only, except for its jobs: these may touch all members, since it stays in place
/// until they are answered. See Uploads for the steps.
class Upload {
 public:
  Upload(Uploads& uploads, UploadOrder order, Request request, Responder reply);
  virtual ~Upload() = default;
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  /// Call once; *this must stay until the task has ended.
  Task<void> carryOut();

 protected:
  /// Why the records forbid an upload.
  enum class Obstacle { kNone, kUserIsFull, kAllIsFull, kTooManyFiles, kNotTheirs };
  using Latest = std::optional<UploadRecord>;

  // What differs.

  /// Checks the records before any byte is taken, where the order is bounded: looks at them.
  virtual Task<Result<void>> askFirst();
  /// Takes a piece of the body, which is not the last.
  virtual Task<Result<void>> append(const std::string& chunk) = 0;
  /// Takes the rest of the body, whose sum is in sha256_: it is stored when this has succeeded.
  virtual Task<Result<void>> complete(const std::string& rest) = 0;
  /// Deletes the file.
  virtual Task<Result<void>> remove() = 0;
  /// Whether a file that has the name is the user's, or nobody's, by its latest record.
  virtual bool mayReplace(const Latest& latest, const std::string& user) const = 0;
  /// It has failed: takes back what was noted of it.
  virtual void abandon() = 0;

  // For these.

  bool isDelete() const { return request_.upload->size == 0; }
  UploadRecord record() const;
  Task<Result<void>> write(const std::string& chunk, bool last);

  // Jobs of the storage lane. Each may run again, and then sets anew what it has set.
  Result<bool> lookIn(Storage& storage);
  /// The record with the uploader's id, who is made a user if need be.
  Result<UploadRecord> recordIn(Storage& storage);
  Result<Latest> examine(Storage& storage, const UploadRecord& record);

  /// What has become of it is not known.
  void answerUnknown(Response answer);
  static bool isThere(const Latest& latest);
  static bool isOf(const Latest& latest, const std::string& user);

  Uploads& uploads_;
  const UploadOrder order_;
  Request request_;
  Responder reply_;
  std::shared_ptr<UploadFile> file_;
  std::string sha256_;  ///< of all that was received; "" before that, and for a deletion

 private:
  Task<Result<void>> store();
  std::pair<std::string, std::string> names() const;

  // The answer.
  void succeed();
  void giveUp(const Error& error);
  Response refusalOf(const Error& error);
  Response refusalOfObstacle() const;

  Sha256 sum_;                       ///< of what was received
  std::optional<Response> refusal_;  ///< for a body that did not come as announced
  bool answered_ = false;
  Obstacle obstacle_ = Obstacle::kNone;  ///< a result of the storage lane's jobs
};

}  // namespace egalaxyd
