// An upload whose content is kept by the database, which several hosts share; the file is a copy.
#pragma once

#include <cstdint>
#include <string>

#include "common/storage/storage.h"
#include "worker/base/task.h"
#include "worker/upload/upload.h"

namespace egalaxyd {

/// One transaction stores record and content. From its commit on the upload is stored, whatever
/// becomes of this host's file: the follower mends that.
class DatabaseUpload final : public Upload {
 public:
  using Upload::Upload;

 private:
  // The steps.
  Task<Result<void>> append(const std::string& chunk) override;
  Task<Result<void>> complete(const std::string& rest) override;
  Task<Result<void>> remove() override;
  bool mayReplace(const Latest& latest, const std::string& user) const override;
  void abandon() override {}
  Task<Result<void>> bring(const std::string& rest);
  Task<Result<void>> bringMost(std::uint64_t most);
  Task<Result<void>> finish();
  Task<Result<void>> commit();
  Task<void> place();
  void complain(const Error& error);

  // Jobs of the storage lane.
  Result<std::int64_t> storeIn(Storage& storage);

  StorageKeys keys() const;

  NewContent content_;
  std::int64_t stored_ = 0;  ///< the record's id; 0: not stored yet
};

}  // namespace egalaxyd
