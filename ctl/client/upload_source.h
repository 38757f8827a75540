// What is to be uploaded, with its size, which goes before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd::ctl {

struct UploadSource {
  UniqueFd file;  ///< stands where the upload begins
  std::uint64_t size = 0;
  std::optional<Error> failed = {};  ///< why it could not be read to its end
};

/// `name` is a file, or "-" for the standard input. What has no size beforehand, a pipe, is read to
/// its end into a temporary file without a name first.
Result<UploadSource> openUpload(const std::string& name);

}  // namespace egalaxyd::ctl
