#include "common/system/master_files.h"

#include <sys/stat.h>

#include <system_error>
#include <variant>

#include "common/config/log_places.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// Symbolic links that are followed in one path, as many as the kernel follows.
constexpr int kMostLinks = 40;

void addMounts(std::vector<fs::path>& files, const std::vector<MountConfig>& mounts) {
  for (const MountConfig& mount : mounts) {
    if (const auto* plugin = std::get_if<PluginArgs>(&mount.args)) {
      files.push_back(plugin->library);
    } else if (const auto* authenticated = std::get_if<AuthenticatedArgs>(&mount.args)) {
      files.push_back(authenticated->ca);
    } else if (const auto* proxy = std::get_if<ProxyArgs>(&mount.args)) {
      files.insert(files.end(), {proxy->ca, proxy->certificate, proxy->key});
    }
    if (const auto* nested = nestedMounts(mount.args)) addMounts(files, *nested);
  }
}

/// Whether `account` can change what is there; in a folder with the sticky bit, what others own
/// stays.
bool mayChange(const Account& account, const struct stat& info) {
  if (info.st_uid == account.uid) return true;
  if (S_ISLNK(info.st_mode) || (info.st_mode & S_ISVTX) != 0) return false;
  return (info.st_mode & S_IWOTH) != 0 ||
         (info.st_gid == account.gid && (info.st_mode & S_IWGRP) != 0);
}

std::optional<fs::path> placeOnTheWay(const Account& account, const fs::path& path, int& links) {
  fs::path way;
  for (auto part = path.begin(); part != path.end(); ++part) {
    way /= *part;
    const bool isLast = std::next(part) == path.end();
    struct stat info {};
    if (::lstat(way.c_str(), &info) != 0) return std::nullopt;
    if (!(isLast && S_ISDIR(info.st_mode)) && mayChange(account, info)) return way;
    if (!S_ISLNK(info.st_mode)) continue;
    std::error_code error;
    const fs::path target = fs::read_symlink(way, error);
    if (error || --links < 0) return std::nullopt;
    fs::path rest = way.parent_path() / target;
    for (auto more = std::next(part); more != path.end(); ++more) rest /= *more;
    return placeOnTheWay(account, rest, links);
  }
  return std::nullopt;
}

}  // namespace

std::vector<fs::path> masterFiles(const Config& config) {
  std::vector<fs::path> files{
      config.file,    config.server.stateDir, config.server.runtimeDir, config.tls.certificate,
      config.tls.key, config.router.module,   config.rateLimit.module};
  for (const LogPlace& place : logPlaces(config)) {
    if (isLogFile(place.target)) files.emplace_back(place.target);
  }
  files.insert(files.end(), config.included.begin(), config.included.end());
  for (const IncludePattern& pattern : config.includePatterns) {
    files.push_back(pattern.folder / pattern.names);  // who may make such a file is in reach, too
  }
  for (const SiteConfig& site : config.sites) {
    files.push_back(site.certificate);
    files.push_back(site.key);
    addMounts(files, site.mounts);
  }
  std::erase(files, fs::path());
  std::error_code error;
  for (fs::path& file : files) file = fs::absolute(file, error);
  return files;
}

std::optional<fs::path> placeInReach(const Account& account, const fs::path& path) {
  int links = kMostLinks;
  return placeOnTheWay(account, path, links);
}

}  // namespace egalaxyd
