// What one upload is to change, and within which limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/content/keep_order.h"
#include "common/content/upload_place.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// Limits that depend on the records.
struct UploadBounds {
  std::optional<UploadQuota> quota;
  bool ownOnly = false;  ///< only the uploader of a file may replace or delete it
};

struct UploadOrder {
  UploadPlace place;
  std::string host;      ///< the site's name, even if an alias was requested
  std::string readPath;  ///< under which the file is read: the client is sent there
  std::string mime;
  UploadBounds bounds;
  std::uint64_t blocks = 1;       ///< as UploadRecord::blocks
  std::optional<KeepOrder> keep;  ///< nullopt: what is replaced is gone
  /// An operator has this user's earlier upload back ("": nobody's); nullopt: a client uploads.
  std::optional<std::string> restoredFor;

  /// Whether the storage is asked before anything is written.
  bool isBounded() const { return bounds.quota || bounds.ownOnly; }
};

}  // namespace egalaxyd
