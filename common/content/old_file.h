// The file that an upload is about to replace or delete, read so that it can be kept.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/base/sha256.h"
#include "common/base/unique_fd.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// Blocking: never on the loop. One thread at a time.
class OldFile {
 public:
  /// Looks anew. What has the name may be missing, which is no error; kPermission: it cannot be
  /// read, and so not be kept.
  Result<void> open(int folder, const std::string& name);
  bool isThere() const { return static_cast<bool>(file_); }
  /// The next part of it, whole but for the last; "" at the end.
  Result<std::string> read();

  // Once read() has said "".
  std::string sha256();
  std::uint64_t size() const { return size_; }
  WallTime written() const;

  /// Whether the name is as it was when it was opened: nothing, or this file, unchanged.
  bool isStillSo(int folder, const std::string& name) const;

 private:
  UniqueFd file_;
  struct stat status_ {};
  Sha256 sum_;
  std::uint64_t size_ = 0;
};

}  // namespace egalaxyd
