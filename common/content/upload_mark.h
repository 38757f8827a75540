// Which upload's content a file has, where files are copies of what a database holds: an extended
// attribute of the file.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace egalaxyd {

/// The id of the upload's record; 0: it tells of none. Waits for the disk.
std::int64_t uploadOf(int file);
/// The same of what has the name in `folder`; 0 as well where nothing has it, or no file.
std::int64_t uploadOf(int folder, const std::string& name);
Result<void> markUpload(int file, std::int64_t upload);

/// kInvalid, with a sentence, where the file system of an open folder has no such attributes.
Result<void> checkMarks(int folder);

}  // namespace egalaxyd
