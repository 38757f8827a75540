#include "common/content/upload_mark.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <limits>
#include <string_view>

#include "common/base/errno_error.h"
#include "common/base/number.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

constexpr const char* kMark = "user.egalaxyd.upload";

}  // namespace

std::int64_t uploadOf(int file) {
  std::array<char, 32> text;
  const ssize_t got = ::fgetxattr(file, kMark, text.data(), text.size());
  if (got <= 0) return 0;
  const auto upload = parseNumber(std::string_view(text.data(), static_cast<std::size_t>(got)), 1,
                                  std::numeric_limits<std::int64_t>::max());
  return upload.value_or(0);
}

std::int64_t uploadOf(int folder, const std::string& name) {
  const UniqueFd file(
      ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  return file ? uploadOf(file.get()) : 0;
}

Result<void> markUpload(int file, std::int64_t upload) {
  const std::string text = std::to_string(upload);
  if (::fsetxattr(file, kMark, text.data(), text.size(), 0) == 0) return {};
  return errnoError("set the attribute user.egalaxyd.upload", errno);
}

Result<void> checkMarks(int folder) {
  if (::fgetxattr(folder, kMark, nullptr, 0) >= 0 || errno != EOPNOTSUPP) return {};
  return Error{ErrorCode::kInvalid,
               "its file system has no extended attributes (user.*), which uploads need where "
               "files are copies of what the database holds"};
}

}  // namespace egalaxyd
