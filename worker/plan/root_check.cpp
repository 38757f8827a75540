#include "worker/plan/root_check.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/content/upload_mark.h"
#include "common/file/server_files.h"
#include "common/shared/home_places.h"
#include "worker/file/served_root.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNamed = 4;

void forEachMount(const std::vector<MountConfig>& mounts,
                  const std::function<void(const MountConfig&)>& visit) {
  for (const MountConfig& mount : mounts) {
    visit(mount);
    if (const auto* nested = nestedMounts(mount.args)) forEachMount(*nested, visit);
  }
}

void forEachMount(const Config& config, const std::function<void(const MountConfig&)>& visit) {
  for (const SiteConfig& site : config.sites) forEachMount(site.mounts, visit);
}

std::string realPathOf(const fs::path& folder) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(folder, error);
  if (error) real = folder.lexically_normal();
  return (real.has_filename() ? real : real.parent_path()).string();
}

/// "the log /srv/a/egalaxyd.log, the state folder /srv/a/state"; "" where none is in it.
std::string ownFilesIn(const std::string& root, const std::vector<ServerFile>& files) {
  std::vector<std::string> named;
  std::set<std::string> folders;  // whose content needs no mention
  for (const ServerFile& file : files) {
    const bool contains = isWithin(file.real, root);
    const bool isSealedAround = file.kind == ServerFile::Kind::kSealed && isWithin(root, file.real);
    if (file.kind == ServerFile::Kind::kPublic || !(contains || isSealedAround)) continue;
    bool known = false;
    for (const std::string& folder : folders) known = known || isWithin(file.real, folder);
    if (known) continue;
    const bool hasPattern = file.kind == ServerFile::Kind::kNamed;
    const std::string shown = hasPattern ? file.real + "/" + file.pattern : file.real;
    folders.insert(shown);
    named.push_back(file.name + " " + shown);
  }
  if (named.size() > kMostNamed) named.resize(kMostNamed);
  return fmt::format("{}", fmt::join(named, ", "));
}

Complaint about(const Config& config, const MountConfig& mount, const fs::path& path,
                std::string_view what) {
  return {whereOf(config, mount), fmt::format("{}: {}", path.string(), what)};
}

}  // namespace

void addServerFile(const std::string& name, const fs::path& file) { ServerFiles::add(name, file); }

void checkServerFiles(const Config& config, Findings& findings) {
  const std::vector<ServerFile> files = ServerFiles(config).list();
  forEachMount(config, [&](const MountConfig& mount) {
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory == nullptr || directory->root.empty()) return;
    const std::string own = ownFilesIn(realPathOf(directory->root), files);
    if (own.empty()) return;
    if (directory->upload) {
      findings.complaints.push_back(about(
          config, mount, directory->root,
          fmt::format("takes uploads, but holds what is the server's own: {}; move that out of it, "
                      "or serve another folder",
                      own)));
    } else {
      findings.warnings.push_back(about(
          config, mount, directory->root,
          fmt::format("holds what is the server's own, and is not served: {}; better move it out",
                      own)));
    }
  });
}

void checkUploadMarks(const Config& config, Findings& findings) {
  if (config.storage.engine == StorageKind::kSqlite) return;
  forEachMount(config, [&](const MountConfig& mount) {
    const auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory == nullptr || !directory->upload || directory->root.empty()) return;
    const UniqueFd folder(::open(directory->root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return;  // the account that serves may see more
    if (const auto marks = checkMarks(folder.get()); !marks) {
      findings.complaints.push_back(about(config, mount, directory->root, marks.error().message));
    }
  });
}

Complaints rootsOutOfReach(const Config& config) {
  Complaints found;
  forEachMount(config, [&](const MountConfig& mount) {
    if (const auto* directory = std::get_if<DirectoryArgs>(&mount.args)) {
      if (directory->root.empty()) return;
      const char* const root = directory->root.c_str();
      const Presence presence = presenceOfFolder(directory->root);
      if (presence.kind != Presence::Kind::kHere) {
        found.push_back(about(config, mount, directory->root,
                              presence.why + "; its requests are answered 41 until that changes"));
      } else if (directory->upload && ::faccessat(AT_FDCWD, root, W_OK, AT_EACCESS) != 0) {
        found.push_back(about(config, mount, directory->root,
                              "the account that serves may not write to it: uploads fail"));
      } else if (directory->listing && ::faccessat(AT_FDCWD, root, R_OK, AT_EACCESS) != 0) {
        found.push_back(about(config, mount, directory->root,
                              "the account that serves may not list it: listings fail"));
      }
    } else if (const auto* file = std::get_if<FileArgs>(&mount.args)) {
      if (file->path.empty()) return;
      const Presence presence = presenceOfFile(file->path);
      if (presence.kind == Presence::Kind::kHere) return;
      found.push_back(
          about(config, mount, file->path, presence.why + "; its requests fail meanwhile"));
    } else if (const auto* cgi = std::get_if<CgiArgs>(&mount.args)) {
      if (cgi->root.empty()) return;
      const Presence presence = presenceOfFolder(cgi->root);
      if (presence.kind == Presence::Kind::kHere) return;
      found.push_back(
          about(config, mount, cgi->root, presence.why + "; its requests fail meanwhile"));
    } else if (const auto* homes = std::get_if<HomesArgs>(&mount.args)) {
      const fs::path folder = folderOfUsers(homes->root.string());
      const Presence presence = presenceOfFolder(folder);
      if (homes->root.empty() || presence.kind == Presence::Kind::kHere) return;
      found.push_back(about(config, mount, folder, presence.why + "; its requests fail meanwhile"));
    }
  });
  return found;
}

}  // namespace egalaxyd
