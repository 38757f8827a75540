#include "worker/dynamic/request_spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/write_all.h"
#include "worker/upload/free_floor.h"

namespace egalaxyd {
namespace {

/// The account of scripts opens it by its name.
constexpr mode_t kSpoolMode = 0644;

Error failed(const std::string& what, int error) {
  Error wrong = errnoError(what, error);
  if (wrong.code != ErrorCode::kNoSpace) wrong.code = ErrorCode::kPermission;
  return wrong;
}

Result<SpooledBody> makeFile(const SpoolPlace& place) {
  const std::string path = place.folder / place.name;
  UniqueFd file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kSpoolMode));
  if (!file) return failed("make " + path, errno);
  SpooledBody made(place.folder, place.name, std::move(file));
  // Whatever the umask is.
  if (::fchmod(made.fd(), kSpoolMode) != 0 && errno != EPERM) return failed("change a mode", errno);
  return made;
}

Result<void> append(const SpooledBody& body, std::string_view bytes, const FreeFloor& floor) {
  if (auto room = checkFloorOf(body.fd(), floor, bytes.size(), 0); !room) return room;
  if (const int error = writeAll(body.fd(), bytes); error != 0) {
    return failed("write a body", error);
  }
  return {};
}

}  // namespace

SpooledBody& SpooledBody::operator=(SpooledBody&& other) noexcept {
  remove();
  folder_ = std::move(other.folder_);
  name_ = std::exchange(other.name_, {});
  file_ = std::move(other.file_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void SpooledBody::remove() noexcept {
  if (name_.empty()) return;
  ::unlink((folder_ / name_).c_str());
  name_.clear();
}

Task<Result<SpooledBody>> spool(std::shared_ptr<RequestBody> body, SpoolPlace place, Lane& lane) {
  const auto make = [&place] { return makeFile(place); };
  auto made = co_await lane.run(make);
  if (!made) co_return made.error();
  for (;;) {
    const auto bytes = co_await body->read();
    if (!bytes) co_return bytes.error();
    if (bytes->empty()) co_return std::move(made);
    const auto write = [&made, &bytes, &place] { return append(*made, *bytes, place.minFree); };
    const auto written = co_await lane.run(write);
    if (!written) co_return written.error();
    made->grew(bytes->size());
  }
}

}  // namespace egalaxyd
