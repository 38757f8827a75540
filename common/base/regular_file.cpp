#include "common/base/regular_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

Error notRegular(mode_t mode) {
  const char* kind = S_ISFIFO(mode)   ? "a FIFO"
                     : S_ISDIR(mode)  ? "a folder"
                     : S_ISSOCK(mode) ? "a socket"
                     : S_ISLNK(mode)  ? "a symbolic link"
                                      : "a device";
  return {ErrorCode::kInvalid, std::string("is ") + kind + ", not a regular file"};
}

Result<void> isFileOfOneName(const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return notRegular(info.st_mode);
  if (info.st_nlink <= 1) return {};
  return Error{ErrorCode::kInvalid, "has a second name (a hard link); move it away"};
}

Result<std::string> readRegularFile(const std::filesystem::path& file, std::size_t most) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return errnoError("cannot be read", errno);
  if (!S_ISREG(info.st_mode)) return notRegular(info.st_mode);
  std::string bytes;
  std::array<char, 8192> chunk;
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("cannot be read", errno);
    if (got == 0) return bytes;
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
    if (bytes.size() > most) {
      return Error{ErrorCode::kInvalid, "is larger than " + std::to_string(most) + " bytes"};
    }
  }
}

}  // namespace egalaxyd
