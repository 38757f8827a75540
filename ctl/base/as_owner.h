// Root that writes into another account's folder.
#pragma once

#include <sys/stat.h>

namespace egalaxyd::ctl {

/// While it lives, root acts with the rights of a folder's owner: what it writes is that account's,
/// and a link that the account has put there leads no further than the account itself comes.
/// Others act as they are.
class AsOwner {
 public:
  explicit AsOwner(const struct stat& folder);
  ~AsOwner();
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;

  /// 0, or why it is not the owner.
  int failure() const { return failure_; }

 private:
  bool changed_ = false;
  int failure_ = 0;
};

}  // namespace egalaxyd::ctl
