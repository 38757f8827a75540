#include "ctl/base/as_owner.h"

#include <grp.h>
#include <unistd.h>

#include <cerrno>

namespace egalaxyd::ctl {

AsOwner::AsOwner(const struct stat& folder) {
  if (::geteuid() != 0 || folder.st_uid == 0) return;
  changed_ = ::setgroups(1, &folder.st_gid) == 0 && ::setegid(folder.st_gid) == 0 &&
             ::seteuid(folder.st_uid) == 0;
  failure_ = changed_ ? 0 : errno;
}

AsOwner::~AsOwner() {
  if (!changed_) return;
  static_cast<void>(::seteuid(0) == 0 && ::setegid(0) == 0);
}

}  // namespace egalaxyd::ctl
