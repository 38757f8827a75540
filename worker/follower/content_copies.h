// Makes this host's files what the database says they are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/cluster/database_engine.h"
#include "common/config/config.h"
#include "common/content/upload_place.h"
#include "common/file/private_files.h"

namespace egalaxyd {

/// What became of a file.
enum class Copied {
  kNothing,  ///< it was so already, or a later upload has come first
  kWritten,
  kRemoved,
  kNotHere,  ///< no site of this host takes uploads there
};

/// One thread; blocks. Uploads may change the same files meanwhile: the later one stays.
class ContentCopies {
 public:
  /// A part of content, as DatabaseLink::readContent().
  using Read = std::function<Result<std::string>(std::int64_t content, std::uint64_t part)>;

  /// `config` must outlive it.
  explicit ContentCopies(const Config& config);

  /// A file that tells of no upload is compared by its sum: where it differs, the database wins,
  /// and the log tells. Errors of UploadFile, of `read`, and kBusy: the content is gone meanwhile.
  Result<Copied> follow(const SharedFile& file, const Read& read) const;
  /// Removes what a process that died has left beside the file.
  void sweepBeside(const SharedFile& file) const;

 private:
  Result<Copied> write(RecordPlace place, const SharedFile& file, const Read& read) const;
  Result<Copied> remove(RecordPlace place, const SharedFile& file) const;

  const UploadTrees trees_;
  const std::shared_ptr<const PrivateFiles> neverServed_;
};

}  // namespace egalaxyd
