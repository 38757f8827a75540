// Has earlier content of files back, for an operator: in a process of its own, which may block.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// Makes the content of a record's upload, or what a deletion took away, the content of its file
/// again: as an upload of the same user, with a record, whose id is returned. `worker` is this
/// process's id: when it dies, recoverUploads() ends what it has begun. `shared` is its own. Quotas
/// do not count. Errors, for the operator: kNotFound (no such record, no version, no site), kExists
/// (the file has this content), and those of an upload.
Result<std::int64_t> restoreUpload(const Config& config, SharedState& shared, std::int64_t upload,
                                   std::int64_t worker);

enum class WhichContent {
  kIts,      ///< what the upload brought or, for a deletion, took away
  kBefore,   ///< what the file held before it; nothing, for a new file
  kCurrent,  ///< what the file holds now, whoever brought it
};

/// Bytes of content that are told at once.
inline constexpr std::size_t kContentPiece = 16 * kContentPart;

struct ContentPiece {
  std::string bytes;   ///< kContentPiece of them, but for the last piece
  std::string sha256;  ///< of the whole content; "" for kCurrent, and where there was no file
};

/// The piece with that number, from 0. kNotFound: no such record, or the content is not kept.
Result<ContentPiece> uploadContent(const Config& config, std::int64_t upload, WhichContent which,
                                   std::uint64_t piece);

}  // namespace egalaxyd
