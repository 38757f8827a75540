#include "worker/file/home_folders.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "common/shared/home_places.h"

namespace egalaxyd {
namespace {

// A path may lead to another folder at any time: each is opened anew now and then.
constexpr std::chrono::seconds kKept{1};
constexpr std::size_t kMostKept = 64;

}  // namespace

HomeFolders::HomeFolders(const HomesArgs& args, std::shared_ptr<const PrivateFiles> neverServed)
    : pattern_(args.root),
      symlinks_(args.symlinks),
      minUid_(args.minUid),
      neverServed_(std::move(neverServed)) {}

HomeFolders::Folder HomeFolders::known(const std::string& user) const {
  const auto found = opened_.find(user);
  if (found == opened_.end() || Clock::now() - found->second.when > kKept) return nullptr;
  return found->second.folder->isRemoved() ? nullptr : found->second.folder;
}

void HomeFolders::remember(const std::string& user, Folder folder) {
  const Clock::time_point now = Clock::now();
  std::erase_if(opened_, [&](const auto& each) { return now - each.second.when > kKept; });
  if (opened_.size() >= kMostKept) return;
  opened_.insert_or_assign(user, Opened{std::move(folder), now});
}

Result<HomeFolders::Folder> HomeFolders::open(const std::string& user) const {
  auto folder = SiteRoot::openAt(placeOfUser(pattern_, user), symlinks_, neverServed_);
  if (!folder) return std::move(folder).error();
  if (folder->status().st_uid < minUid_) {
    return Error{ErrorCode::kNotFound, "the owner's uid is below min_uid"};
  }
  return std::make_shared<const SiteRoot>(std::move(folder).value());
}

}  // namespace egalaxyd
