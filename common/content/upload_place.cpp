#include "common/content/upload_place.h"

#include <climits>
#include <utility>
#include <variant>

#include "common/base/path.h"

namespace egalaxyd {
namespace {

void collect(const std::string& host, const std::string& above,
             const std::vector<MountConfig>& mounts, UploadTrees& trees) {
  for (const MountConfig& mount : mounts) {
    const std::string path = above + (mount.path == "/" ? "" : mount.path);
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory != nullptr && directory->upload) trees.push_back({host, path, directory});
    if (const auto* nested = nestedMounts(mount.args)) collect(host, path, *nested, trees);
  }
}

const UploadTree* treeOf(const UploadTrees& trees, const UploadRecord& record) {
  const UploadTree* best = nullptr;
  for (const UploadTree& tree : trees) {
    if (tree.host != record.host || !record.path.starts_with(tree.path + "/")) continue;
    if (best == nullptr || tree.path.size() > best->path.size()) best = &tree;
  }
  return best;
}

/// Whether an upload can have such a path: normalised, and not a folder's.
bool isFilePath(const std::string& path) {
  if (path.size() > PATH_MAX || path.ends_with('/')) return false;
  const auto normal = normalisePath(percentEncodePath(path));
  const auto* same = std::get_if<std::string>(&normal);
  return same != nullptr && *same == path;
}

}  // namespace

UploadTrees uploadTreesOf(const Config& config) {
  UploadTrees trees;
  for (const SiteConfig& site : config.sites) collect(site.host, "", site.mounts, trees);
  return trees;
}

Result<RecordPlace> placeOf(const UploadTrees& trees, const UploadRecord& record) {
  const UploadTree* tree = treeOf(trees, record);
  if (tree == nullptr || !isFilePath(record.path)) {
    return Error{ErrorCode::kNotFound, "no site takes uploads there"};
  }
  auto root = SiteRoot::openAt(tree->args->root, tree->args->symlinks);
  // A disk that is missing now may come back.
  if (!root) return Error{ErrorCode::kIo, root.error().message};
  return RecordPlace{std::move(*root), record.path.substr(tree->path.size() + 1), tree};
}

UploadPlace uploadPlaceOf(RecordPlace place, std::shared_ptr<const PrivateFiles> neverServed,
                          std::uint64_t size) {
  const UploadArgs& rules = place.rules();
  UploadPlace made;
  made.createFolders = rules.createDirectories;
  made.newFolders = rules.newFolders;
  made.depth = rules.depth;
  made.minFree = rules.minFree;
  made.mode = rules.mode;
  made.size = size;
  made.neverServed = std::move(neverServed);
  made.relative = std::move(place.relative);
  made.root = std::make_shared<const SiteRoot>(std::move(place.root));
  return made;
}

}  // namespace egalaxyd
