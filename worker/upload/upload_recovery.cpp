#include "worker/upload/upload_recovery.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/sha256.h"
#include "common/storage/schema.h"
#include "common/storage/sqlite_storage.h"
#include "worker/file/site_root.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// A mount that takes uploads.
struct UploadTree {
  std::string host;
  std::string path;  ///< of the mount; "" for "/"
  const DirectoryArgs* args = nullptr;
};

void collect(const std::string& host, const std::string& above,
             const std::vector<MountConfig>& mounts, std::vector<UploadTree>& trees) {
  for (const MountConfig& mount : mounts) {
    const std::string path = above + (mount.path == "/" ? "" : mount.path);
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory != nullptr && directory->upload) trees.push_back({host, path, directory});
    if (const auto* nested = nestedMounts(mount.args)) collect(host, path, *nested, trees);
  }
}

std::vector<UploadTree> uploadTrees(const Config& config) {
  std::vector<UploadTree> trees;
  for (const SiteConfig& site : config.sites) collect(site.host, "", site.mounts, trees);
  return trees;
}

/// Whether nobody writes it any more, in which case it is gone.
bool removeAbandoned(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  return ::unlink(file.c_str()) == 0;
}

std::size_t removeUnfinished(const fs::path& root) {
  std::size_t removed = 0;
  std::error_code error;
  fs::recursive_directory_iterator each(root, fs::directory_options::skip_permission_denied, error);
  const fs::recursive_directory_iterator end;
  while (!error && each != end) {
    const bool unfinished = each->path().filename().string().starts_with(kUnfinishedPrefix) &&
                            each->symlink_status(error).type() == fs::file_type::regular;
    if (unfinished && removeAbandoned(each->path())) ++removed;
    each.increment(error);
  }
  return removed;
}

/// The most specific tree that holds the record's file.
const UploadTree* treeOf(const std::vector<UploadTree>& trees, const UploadRecord& record) {
  const UploadTree* best = nullptr;
  for (const UploadTree& tree : trees) {
    if (tree.host != record.host || !isBeneath(record.path, tree.path)) continue;
    if (best == nullptr || tree.path.size() > best->path.size()) best = &tree;
  }
  return best;
}

/// Whether the change that `record` announces has happened.
bool hasHappened(const UploadTree& tree, const UploadRecord& record) {
  const auto root = SiteRoot::openAt(tree.args->root, tree.args->symlinks);
  if (!root) return false;
  const std::string_view relative = std::string_view(record.path).substr(tree.path.size() + 1);
  const auto file = root->open(relative, Waiting::kAllowed);
  if (record.sha256.empty()) return !file && file.error().code == ErrorCode::kNotFound;
  if (!file || file->isFolder()) return false;
  const auto sum = sha256OfFile(file->fd.get());
  return sum && *sum == record.sha256;
}

Result<void> settle(Storage& storage, const UploadRecord& record) {
  const auto before = storage.latestUpload(record.host, record.path);
  if (!before) return before.error();
  const std::string previous = *before ? (*before)->sha256 : "";
  const UploadOutcome outcome = record.sha256.empty() ? UploadOutcome::kDeleted
                                : previous.empty()    ? UploadOutcome::kStored
                                                      : UploadOutcome::kReplaced;
  const auto settled = storage.settleUpload(record.id, outcome, previous);
  return settled ? Result<void>() : settled.error();
}

Result<void> settlePending(const fs::path& database, const std::vector<UploadTree>& trees,
                           RecoveredUploads& recovered) {
  auto storage = openSqliteStorage(database, {});
  if (!storage) return storage.error();
  const auto pending = (*storage)->pendingUploads();
  if (!pending) return pending.error();
  for (const UploadRecord& record : *pending) {
    const UploadTree* tree = treeOf(trees, record);
    const bool happened = tree != nullptr && hasHappened(*tree, record);
    if (happened) {
      if (auto settled = settle(**storage, record); !settled) return settled;
      ++recovered.settled;
    } else {
      if (auto dropped = (*storage)->dropUpload(record.id); !dropped) return dropped;
      ++recovered.dropped;
    }
  }
  return {};
}

}  // namespace

Result<RecoveredUploads> recoverUploads(const Config& config) {
  RecoveredUploads recovered;
  const std::vector<UploadTree> trees = uploadTrees(config);
  std::set<fs::path> roots;
  for (const UploadTree& tree : trees) roots.insert(tree.args->root);
  for (const fs::path& root : roots) recovered.removed += removeUnfinished(root);
  const fs::path database = config.server.stateDir / kDatabaseFile;
  std::error_code error;
  if (!fs::exists(database, error)) return recovered;
  if (auto settled = settlePending(database, trees, recovered); !settled) return settled.error();
  return recovered;
}

}  // namespace egalaxyd
