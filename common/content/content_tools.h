// For an operator: compares this host's files with what the database has, and puts into it what was
// changed by hand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// Gets a file and what is to be said of it: "is missing", "was stored".
using TellOfFile =
    std::function<void(std::string_view host, std::string_view path, std::string_view what)>;

struct VerifiedContent {
  std::uint64_t same = 0;
  std::uint64_t different = 0;  ///< each was told
};

/// Every record of a file that a site of this host takes uploads for, by the sum of its content.
/// Files that the database does not know count for nothing; nor does what is uploaded meanwhile.
/// Reads all files: takes its time.
Result<VerifiedContent> verifyContent(const Config& config, DatabaseLink& link,
                                      const TellOfFile& tell);

struct ImportedContent {
  std::uint64_t same = 0;
  std::uint64_t stored = 0;  ///< each was told
  std::uint64_t failed = 0;  ///< likewise
};

/// Stores each file at or beneath `folder`, which lies in one or several that take uploads, whose
/// content is not what the database has: as an upload of nobody's, whatever its size and the
/// quotas. Nothing is deleted. kInvalid: no site takes uploads there. `storage` holds content.
Result<ImportedContent> importContent(const Config& config, Storage& storage,
                                      const std::filesystem::path& folder, const TellOfFile& tell);

}  // namespace egalaxyd
