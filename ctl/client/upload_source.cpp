#include "ctl/client/upload_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/base/unfinished_file.h"
#include "common/base/write_all.h"

namespace egalaxyd::ctl {
namespace {

Result<UploadSource> spool(int from, const std::string& name) {
  auto file = UnfinishedFile(temporaryName("egalaxyctl")).make();  // without a name from here on
  if (!file) return file.error();
  std::array<char, 64 * 1024> chunk;
  std::uint64_t size = 0;
  for (;;) {
    const ssize_t got = ::read(from, chunk.data(), chunk.size());
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read " + name, errno);
    const auto count = static_cast<std::size_t>(got);
    const int failed = writeAll(file->get(), {chunk.data(), count});
    if (failed != 0) return errnoError("keep " + name + " in a temporary file", failed);
    size += count;
  }
  if (::lseek(file->get(), 0, SEEK_SET) != 0) return errnoError("read " + name, errno);
  return UploadSource{.file = std::move(*file), .size = size};
}

}  // namespace

Result<UploadSource> openUpload(const std::string& name) {
  const bool standard = name == "-";
  const std::string shown = standard ? "the standard input" : name;
  UniqueFd file(standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                         : ::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errnoError("open " + shown, errno);
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return errnoError("open " + shown, errno);
  if (S_ISDIR(about.st_mode)) return errnoError("read " + shown, EISDIR);
  if (!S_ISREG(about.st_mode)) return spool(file.get(), shown);
  const off_t begin = ::lseek(file.get(), 0, SEEK_CUR);  // a shell may have read some
  if (begin < 0) return errnoError("read " + shown, errno);
  const off_t left = about.st_size > begin ? about.st_size - begin : 0;
  return UploadSource{std::move(file), begin, static_cast<std::uint64_t>(left)};
}

Result<void> rewind(UploadSource& source) {
  if (!source.file || ::lseek(source.file.get(), source.begin, SEEK_SET) >= 0) return {};
  return errnoError("read the file once more", errno);
}

}  // namespace egalaxyd::ctl
