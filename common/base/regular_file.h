// Reading whole files that somebody named: never waits for another process, as opening a FIFO
// would.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <string>

#include "common/base/result.h"

namespace egalaxyd {

/// All of a regular file. Any thread; waits for the disk alone. kInvalid: it is something else (a
/// FIFO, a folder), or has more than `most` bytes. The message is for behind the file's name.
Result<std::string> readRegularFile(const std::filesystem::path& file, std::size_t most);

/// For a file that is opened to be written to: whether it is a regular one without a second name,
/// by which it would be another's as well. kInvalid, with a message for behind the name.
Result<void> isFileOfOneName(const struct stat& info);

/// "is a FIFO, not a regular file", for `mode` of stat(2).
Error notRegular(mode_t mode);

}  // namespace egalaxyd
