// What one upload is to change, and within which limits.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/storage/storage.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

/// Limits that depend on the records.
struct UploadBounds {
  std::optional<UploadQuota> quota;
  bool ownOnly = false;  ///< only the uploader of a file may replace or delete it
};

/// Earlier versions of the mount's files.
struct KeepOrder {
  std::string mount;  ///< its path, "" for "/"
  KeepRules rules;
  std::optional<std::chrono::seconds> age;  ///< after which a version goes
};

/// nullopt: no versions are kept.
std::optional<KeepOrder> keepOrder(const UploadArgs& rules, std::string mount);

/// Keeps what an announced upload replaces, of which `before` is the record, where the storage
/// holds its content: in its transaction, whose keys have its placeKey().
Result<void> keepHeldVersion(Storage& storage, std::int64_t pending, const UploadRecord& before,
                             const KeepOrder& order);

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
