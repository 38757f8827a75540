#include "worker/plan/sandbox_rules.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "common/cluster/database_access.h"
#include "common/config/dynamic_mounts.h"
#include "common/shared/home_places.h"
#include "common/shared/script_names.h"
#include "common/storage/schema.h"
#include "common/system/master_files.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// The paths by which the master finds its files, as they are spelled and as they resolve now.
class MasterFiles {
 public:
  explicit MasterFiles(const Config& config) {
    for (const fs::path& file : masterFiles(config)) {
      std::error_code missing;
      add(fs::weakly_canonical(file, missing));
      add(fs::weakly_canonical(file.parent_path(), missing) / file.filename());
    }
  }

  /// Whether `folder` is one of them, or one of them lies in it, however deep.
  bool areIn(const fs::path& folder) const {
    std::error_code missing;
    const std::string prefix = asPrefix(fs::weakly_canonical(folder, missing));
    return std::ranges::any_of(files_, [&](const auto& file) { return file.starts_with(prefix); });
  }

 private:
  static std::string asPrefix(const fs::path& path) {
    const std::string text = path.string();
    return text.ends_with('/') ? text : text + '/';
  }
  void add(const fs::path& file) { files_.push_back(asPrefix(file)); }

  std::vector<std::string> files_;
};

void allowReading(SandboxRules& rules, const fs::path& root) {
  Replacements places = replacementsOf(root);
  rules.readable.push_back(root);
  std::ranges::move(places.behindLinks, std::back_inserter(rules.readable));
  if (!places.around.empty()) rules.readable.push_back(std::move(places.around));
}

/// The folder around a root is never made writable: uploads must not change what else is in it.
void allowUploads(SandboxRules& rules, const fs::path& root, const MasterFiles& masterFiles) {
  rules.writable.push_back(root);
  for (const fs::path& place : replacementsOf(root).behindLinks) {
    if (!masterFiles.areIn(place)) rules.writable.push_back(place);
  }
}

void allowMounts(SandboxRules& rules, const std::vector<MountConfig>& mounts,
                 const MasterFiles& masterFiles) {
  for (const MountConfig& mount : mounts) {
    if (const auto* directory = std::get_if<DirectoryArgs>(&mount.args)) {
      if (directory->upload) allowUploads(rules, directory->root, masterFiles);
      if (directory->symlinks == SymlinkPolicy::kFollow) {
        rules.readable.emplace_back("/");  // links may lead out of the tree
      } else {
        allowReading(rules, directory->root);
      }
    } else if (const auto* file = std::get_if<FileArgs>(&mount.args)) {
      rules.readable.push_back(file->path.parent_path());
      std::ranges::move(replacementsOf(file->path).behindLinks, std::back_inserter(rules.readable));
    } else if (const auto* homes = std::get_if<HomesArgs>(&mount.args)) {
      allowReading(rules, homes->symlinks == SymlinkPolicy::kFollow
                              ? "/"
                              : folderOfUsers(homes->root.string()));
    } else if (const auto* nested = nestedMounts(mount.args)) {
      allowMounts(rules, *nested, masterFiles);
    }
  }
}

/// A folder of the state folder. A Landlock rule for a link would apply to its target.
void allowOwnFolder(SandboxRules& rules, const fs::path& folder) {
  std::error_code missing;
  if (fs::symlink_status(folder, missing).type() != fs::file_type::directory) return;
  rules.writable.push_back(folder);
}

}  // namespace

SandboxRules workerSandbox(const Config& config) {
  SandboxRules rules;
  rules.readable = {"/etc/localtime", "/usr/share/zoneinfo"};
  const MasterFiles masterFiles(config);
  for (const SiteConfig& site : config.sites) allowMounts(rules, site.mounts, masterFiles);
  allowOwnFolder(rules, config.server.stateDir / kDatabaseFolder);
  if (!dynamicMounts(config).none()) allowOwnFolder(rules, config.server.stateDir / kSpoolFolder);
  allowDatabase(rules, config.storage);
  rules.marksFiles = rules.outgoing.has_value();
  return rules;
}

}  // namespace egalaxyd
