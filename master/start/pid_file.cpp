#include "master/start/pid_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/base/errno_error.h"
#include "common/base/regular_file.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

Result<PidFile> PidFile::write(const std::filesystem::path& path) {
  const UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  struct stat info {};
  if (fd && ::fstat(fd.get(), &info) == 0) {
    if (const auto suitable = isFileOfOneName(info); !suitable) {
      return Error{ErrorCode::kInvalid, path.string() + ": " + suitable.error().message};
    }
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (!fd || ::ftruncate(fd.get(), 0) != 0 ||
      ::write(fd.get(), pid.data(), pid.size()) != static_cast<ssize_t>(pid.size())) {
    return errnoError("write " + path.string(), errno);
  }
  return PidFile(path);
}

PidFile::~PidFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace egalaxyd
