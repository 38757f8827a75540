#include "common/file/private_files.h"

#include <algorithm>
#include <system_error>
#include <variant>

#include "common/file/real_path.h"
#include "common/tls/certificate_files.h"

namespace egalaxyd {

void PrivateFiles::add(const std::vector<MountConfig>& mounts) {
  for (const MountConfig& mount : mounts) {
    if (const auto* proxy = std::get_if<ProxyArgs>(&mount.args)) add(proxy->key);
    if (const auto* nested = nestedMounts(mount.args)) add(*nested);
  }
}

PrivateFiles PrivateFiles::of(const Config& config) {
  PrivateFiles keys;
  keys.server_ = std::make_shared<ServerFiles>(config);
  keys.add(config.tls.key);
  for (const SiteConfig& site : config.sites) {
    keys.add(site.key);
    keys.add(site.mounts);
  }
  std::error_code unreadable;  // there are no automatic certificates then
  for (const auto& entry : std::filesystem::directory_iterator(
           config.server.stateDir / kCertificatesFolder, unreadable)) {
    const auto kind = entry.path().extension();
    if (kind == ".key" || kind == ".pem") keys.add(entry.path());
  }
  return keys;
}

void PrivateFiles::add(const std::filesystem::path& file) {
  if (file.empty()) return;
  paths_.push_back(file);
  names_.insert(file.filename().native());
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) files_.insert(identityOf(status));
}

bool PrivateFiles::contains(const struct stat& status) const {
  return knows(status) || std::any_of(paths_.begin(), paths_.end(), [&](const auto& path) {
           struct stat now {};
           return ::stat(path.c_str(), &now) == 0 && now.st_dev == status.st_dev &&
                  now.st_ino == status.st_ino;
         });
}

bool PrivateFiles::lieAt(std::string_view root) const { return server_ && server_->lieAt(root); }

bool PrivateFiles::areServers(int fd, const struct stat& status, std::string_view root) const {
  if (!server_) return false;
  if (server_->know(status, FileUse::kServe)) return true;
  if (root.empty()) return false;
  const auto path = realPathOf(fd);
  return path && server_->cover(*path, root, FileUse::kServe);
}

bool PrivateFiles::areServers(int folder, std::string_view name, std::string_view root) const {
  if (!server_) return false;
  auto path = realPathOf(folder);
  if (!path) return false;
  if (!path->ends_with('/')) path->push_back('/');
  return server_->cover(path->append(name), root, FileUse::kChange);
}

bool PrivateFiles::isServers(const struct stat& status) const {
  return server_ && server_->know(status, FileUse::kChange);
}

}  // namespace egalaxyd
