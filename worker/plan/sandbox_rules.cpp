#include "worker/plan/sandbox_rules.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "common/storage/schema.h"
#include "common/system/master_files.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// What the master finds by its name, as it is spelled and as it is now.
class MasterFiles {
 public:
  explicit MasterFiles(const Config& config) {
    for (const fs::path& file : masterFiles(config)) {
      std::error_code missing;
      add(fs::weakly_canonical(file, missing));
      add(fs::weakly_canonical(file.parent_path(), missing) / file.filename());
    }
  }

  /// Whether `folder` is one of them, or has one in it, however deep.
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

void allowReading(SandboxRules& rules, const fs::path& path) {
  std::ranges::move(withReplacements(path), std::back_inserter(rules.readable));
}

void allowUploads(SandboxRules& rules, const fs::path& root, const MasterFiles& masterFiles) {
  rules.writable.push_back(root);
  for (const fs::path& place : withReplacements(root)) {
    if (!masterFiles.areIn(place)) rules.writable.push_back(place);
  }
}

void allowMounts(SandboxRules& rules, const std::vector<MountConfig>& mounts,
                 const MasterFiles& masterFiles) {
  for (const MountConfig& mount : mounts) {
    if (const auto* directory = std::get_if<DirectoryArgs>(&mount.args)) {
      if (directory->upload) allowUploads(rules, directory->root, masterFiles);
      // Links may lead out of a tree that follows them.
      allowReading(rules, directory->symlinks == SymlinkPolicy::kFollow ? "/" : directory->root);
    } else if (const auto* file = std::get_if<FileArgs>(&mount.args)) {
      allowReading(rules, file->path.parent_path());
      std::error_code missing;  // then there is nothing that it leads to
      const auto target = fs::canonical(file->path, missing);
      if (!missing) allowReading(rules, target.parent_path());
    } else if (const auto* nested = nestedMounts(mount.args)) {
      allowMounts(rules, *nested, masterFiles);
    }
  }
}

}  // namespace

SandboxRules workerSandbox(const Config& config) {
  SandboxRules rules;
  rules.readable = {"/etc/localtime", "/usr/share/zoneinfo"};
  const MasterFiles masterFiles(config);
  for (const SiteConfig& site : config.sites) allowMounts(rules, site.mounts, masterFiles);
  const fs::path database = config.server.stateDir / kDatabaseFolder;
  std::error_code missing;
  // A rule for a link would be one for what it leads to.
  if (fs::symlink_status(database, missing).type() == fs::file_type::directory) {
    rules.writable.push_back(database);
  }
  return rules;
}

}  // namespace egalaxyd
