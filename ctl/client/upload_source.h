// The content of an upload, and its size, which the request line announces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd::ctl {

struct UploadSource {
  UniqueFd file;           ///< stands where the upload begins
  std::int64_t begin = 0;  ///< that place
  std::uint64_t size = 0;
  std::optional<Error> failed = {};  ///< why it could not be read to its end
};

/// `name` is a file, or "-" for the standard input. A pipe, whose size is not known beforehand, is
/// first read to its end into a temporary file without a name.
Result<UploadSource> openUpload(const std::string& name);

/// `source` stands where the upload begins, once more; one without a file stands nowhere else.
Result<void> rewind(UploadSource& source);

}  // namespace egalaxyd::ctl
