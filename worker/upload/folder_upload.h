// An upload whose content is kept in its file alone: a record that is pending tells of the change
// before it happens, and is settled afterwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/content/old_file.h"
#include "common/storage/storage.h"
#include "worker/base/task.h"
#include "worker/upload/file_turns.h"
#include "worker/upload/upload.h"

namespace egalaxyd {

class FolderUpload final : public Upload {
 public:
  using Upload::Upload;

 private:
  // The steps.
  Task<Result<void>> askFirst() override;
  Task<Result<void>> append(const std::string& chunk) override;
  Task<Result<void>> complete(const std::string& rest) override;
  Task<Result<void>> remove() override;
  bool mayReplace(const Latest& latest, const std::string& user) const override;
  void abandon() override;
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
  Result<Announced> announceIn(Storage& storage, const std::string& sha256);
  Result<void> keepIn(Storage& storage, std::int64_t pending) const;
  Result<void> pruneIn(Storage& storage) const;
  Result<void> settleIn(Storage& storage);
  Result<bool> settleNamed(Storage& storage) const;

  std::int64_t id_ = 0;    ///< of the pending record; 0: there is none
  bool recorded_ = false;  ///< the file that has the name has a record, and so a known sum
  FileTurns::Turn turn_;   ///< while versions are kept: from reading the old file to the end
  OldFile oldFile_;        ///< as it was read to be kept
  std::optional<OldContent> old_;  ///< what is kept of it; nullopt: there is nothing to keep
  bool oldHasChanged_ = false;     ///< since it was read
  bool keepRecord_ = false;        ///< do not drop the pending record, or there is none any more

  // Results of the storage lane's jobs.
  std::string user_;
  UploadOutcome outcome_ = UploadOutcome::kDeleted;
  std::string previousSha256_;
};

}  // namespace egalaxyd
