#include "common/base/errno_error.h"

#include <cerrno>
#include <system_error>

namespace egalaxyd {
namespace {

ErrorCode codeOf(int errnoValue) {
  switch (errnoValue) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
    case EXDEV:  // openat2: the path leaves its root
      return ErrorCode::kPermission;
    case EEXIST:
    case EADDRINUSE:
      return ErrorCode::kExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return ErrorCode::kNoSpace;
    case EAGAIN:
    case EBUSY:
    case EINTR:
      return ErrorCode::kBusy;
    case EINVAL:
      return ErrorCode::kInvalid;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Error errnoError(std::string_view doing, int errnoValue) {
  return {codeOf(errnoValue),
          std::string(doing) + ": " + std::generic_category().message(errnoValue)};
}

}  // namespace egalaxyd
