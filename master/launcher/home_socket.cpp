#include "master/launcher/home_socket.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/shared/home_places.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kAccountBytes = 16 * 1024;

struct HomeOwner {
  uid_t uid = 0;
  std::string home;
};

Error none(const std::string& what, const std::string& why) {
  return {ErrorCode::kNotFound, what + ": " + why};
}

Result<HomeOwner> ownerNamed(const std::string& user) {
  std::vector<char> room(kAccountBytes);
  passwd entry{};
  passwd* found = nullptr;
  const int failed = ::getpwnam_r(user.c_str(), &entry, room.data(), room.size(), &found);
  if (failed != 0 && failed != ENOENT) {
    return Error{ErrorCode::kIo, errnoError("look up the user " + user, failed).message};
  }
  if (found == nullptr) return none(user, "there is no such user");
  return HomeOwner{entry.pw_uid, entry.pw_dir};
}

}  // namespace

Result<DialTarget> findHomeSocket(const UpstreamPlace& place, const std::string& user) {
  const auto owner = ownerNamed(user);
  if (!owner) return owner.error();
  if (owner->uid < place.minUid) return none(user, "the uid is below min_uid");
  DialTarget target;
  target.name = socketOfUser(place.address.substr(kUnixScheme.size()), user, owner->home);
  target.file.reset(::open(target.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!target.file) return none("open", errnoError(target.name, errno).message);
  struct stat status {};
  if (::fstat(target.file.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) {
    return none(target.name, "it is no socket");
  }
  if (status.st_uid != owner->uid) return none(target.name, "refused: it is not its user's");
  auto address = unixAddress("/proc/self/fd/" + std::to_string(target.file.get()));
  if (!address) return address.error();
  target.addresses = std::move(*address);
  target.listener = owner->uid;
  return target;
}

}  // namespace egalaxyd
