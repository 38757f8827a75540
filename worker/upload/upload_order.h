// What one upload is about to change, and within which bounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/storage/storage.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

/// What the records have to say to an upload.
struct UploadBounds {
  std::optional<UploadQuota> quota;
  bool ownOnly = false;  ///< a file is replaced or deleted by whoever uploaded it alone
};

struct UploadOrder {
  UploadPlace place;
  std::string host;  ///< the site's name, whichever of its names was asked
  std::string mime;
  UploadBounds bounds;
  std::uint64_t blocks = 1;  ///< as UploadRecord::blocks

  /// Whether the storage is asked before anything is written.
  bool isBounded() const { return bounds.quota || bounds.ownOnly; }
};

}  // namespace egalaxyd
