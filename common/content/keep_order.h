// How many earlier versions of a mount's files are kept.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/storage/storage.h"

namespace egalaxyd {

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

}  // namespace egalaxyd
