#include "common/file/server_files.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <variant>

#include "common/config/include_files.h"
#include "common/config/log_places.h"
#include "common/storage/schema.h"
#include "common/tls/certificate_files.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using FileKind = ServerFile::Kind;

bool isFolder(FileKind kind) {
  return kind == FileKind::kFolder || kind == FileKind::kSealed || kind == FileKind::kNamed;
}

/// What follows the name of a file in the names of its earlier and unfinished versions:
/// "egalaxyd.log.1.gz", "egalaxyd.toml~", "egalaxyd.db-wal".
bool beginsSuffix(std::string_view rest) {
  return rest.empty() || std::string_view(".-_~#").find(rest.front()) != std::string_view::npos;
}

/// Whether `name` is `own`, or what a rotation or an editor makes of it in the same folder.
bool isVersionOf(std::string_view name, std::string_view own) {
  while (name.starts_with('.') || name.starts_with('#')) {  // ".egalaxyd.toml.swp"
    if (name.starts_with(own)) break;
    name.remove_prefix(1);
  }
  if (name.starts_with(own)) return beginsSuffix(name.substr(own.size()));
  // "egalaxyd-20260101.log" of "egalaxyd.log"
  const std::size_t dot = own.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  if (!name.starts_with(own.substr(0, dot))) return false;
  const std::string_view rest = name.substr(dot);
  const std::size_t extension = rest.find(own.substr(dot));
  return beginsSuffix(rest) && extension != std::string_view::npos &&
         beginsSuffix(rest.substr(extension + own.size() - dot));
}

bool isFileOrVersion(std::string_view path, std::string_view own) {
  const std::size_t slash = own.rfind('/') + 1;
  return path.substr(0, slash) == own.substr(0, slash) &&
         path.find('/', slash) == std::string_view::npos &&
         isVersionOf(path.substr(slash), own.substr(slash));
}

/// Whether `path` is in the folder of `file`, by a name that its pattern has.
bool isNamed(std::string_view path, const ServerFile& file) {
  if (path.size() <= file.real.size() || !isWithin(path, file.real)) return false;
  path.remove_prefix(file.real == "/" ? 1 : file.real.size() + 1);
  return namesFileOrVersion({{}, file.pattern}, path);
}

/// Whether files of its pattern may be in `root`, a folder below its own.
bool reachesInto(const ServerFile& file, std::string_view root) {
  return file.kind != FileKind::kNamed || file.pattern.find('/') != std::string::npos ||
         file.real == root;
}

void addMounts(std::vector<ServerFile>& files, const std::vector<MountConfig>& mounts) {
  for (const MountConfig& mount : mounts) {
    if (const auto* plugin = std::get_if<PluginArgs>(&mount.args)) {
      files.push_back({"a plug-in", FileKind::kPublic, plugin->library, {}});
    } else if (const auto* authenticated = std::get_if<AuthenticatedArgs>(&mount.args)) {
      files.push_back({"a certificate", FileKind::kPublic, authenticated->ca, {}});
    } else if (const auto* proxy = std::get_if<ProxyArgs>(&mount.args)) {
      files.push_back({"a certificate", FileKind::kPublic, proxy->ca, {}});
      files.push_back({"a certificate", FileKind::kPublic, proxy->certificate, {}});
    }
    if (const auto* nested = nestedMounts(mount.args)) addMounts(files, *nested);
  }
}

/// Those that were added.
std::vector<ServerFile>& furtherFiles() {
  static std::vector<ServerFile> files;
  return files;
}

std::vector<ServerFile> filesOf(const Config& config) {
  const fs::path& state = config.server.stateDir;
  std::vector<ServerFile> files{
      {"the configuration file", FileKind::kFile, config.file, {}},
      {"the state folder", FileKind::kFolder, state, {}},
      {"the run-time folder", FileKind::kFolder, config.server.runtimeDir, {}},
      {"a certificate", FileKind::kPublic, config.tls.certificate, {}},
      {"a plug-in", FileKind::kPublic, config.router.module, {}},
      {"a plug-in", FileKind::kPublic, config.rateLimit.module, {}},
  };
  for (const LogPlace& place : logPlaces(config)) {
    if (isLogFile(place.target)) files.push_back({"the log", FileKind::kFile, place.target, {}});
  }
  for (const IncludePattern& pattern : config.includePatterns) {
    const fs::path folder = pattern.folder.empty() ? "." : pattern.folder;
    files.push_back({"an included file", FileKind::kNamed, folder, {}, {}, pattern.names});
  }
  for (const fs::path& file : config.included) {
    files.push_back({"an included file", FileKind::kFile, file, {}});
  }
  if (!state.empty()) {
    files.push_back({"the database", FileKind::kSealed, state / kDatabaseFolder, {}});
    files.push_back({"the certificates", FileKind::kSealed, state / kCertificatesFolder, {}});
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      const fs::path file = state / (std::string(kDatabaseFile) + suffix);
      files.push_back({"the database", FileKind::kFile, file, {}});
    }
  }
  for (const SiteConfig& site : config.sites) {
    files.push_back({"a certificate", FileKind::kPublic, site.certificate, {}});
    addMounts(files, site.mounts);
  }
  files.insert(files.end(), furtherFiles().begin(), furtherFiles().end());
  std::erase_if(files, [](const ServerFile& file) { return file.path.empty(); });
  return files;
}

/// What cannot be seen now stays as it was: the workers' account may see less than the master.
void look(ServerFile& file) {
  struct stat status {};
  if (::stat(file.path.c_str(), &status) == 0) {
    file.identity = {status.st_dev, status.st_ino};
  } else if (errno == ENOENT || errno == ENOTDIR) {
    file.identity.reset();
  }
}

std::string realPath(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  if (error) real = path.lexically_normal();
  return (real.has_filename() ? real : real.parent_path()).string();
}

}  // namespace

bool isWithin(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

void ServerFiles::add(const std::string& name, const std::filesystem::path& file) {
  furtherFiles().push_back({name, FileKind::kFile, file, {}});
}

ServerFiles::ServerFiles(const Config& config) {
  std::vector<ServerFile> files;
  for (ServerFile& file : filesOf(config)) {
    std::error_code error;
    file.path = fs::absolute(file.path, error);
    if (!isFolder(file.kind)) look(file);
    // A link in its place is theirs as well as what it leads to.
    file.real = realPath(file.path);
    const std::string place =
        (fs::path(realPath(file.path.parent_path())) /
         (file.path.has_filename() ? file.path.filename() : file.path.parent_path().filename()))
            .string();
    if (place != file.real) {
      ServerFile link = file;
      link.real = place;
      files.push_back(std::move(link));
    }
    files.push_back(std::move(file));
  }
  std::stable_partition(files.begin(), files.end(),
                        [](const ServerFile& file) { return file.kind != FileKind::kPublic; });
  const MutexLock lock(mutex_);
  files_ = std::make_shared<const std::vector<ServerFile>>(std::move(files));
}

bool ServerFiles::cover(std::string_view path, std::string_view root, FileUse use) const {
  const Files files = now();
  for (const ServerFile& file : *files) {
    switch (file.kind) {
      case FileKind::kFile:
        if (isFileOrVersion(path, file.real)) return true;
        break;
      case FileKind::kFolder:
        if (isWithin(path, file.real) && (root == file.real || !isWithin(root, file.real))) {
          return true;
        }
        break;
      case FileKind::kSealed:
        if (isWithin(path, file.real)) return true;
        break;
      case FileKind::kNamed:
        if (isNamed(path, file)) return true;
        break;
      case FileKind::kPublic:
        if (use == FileUse::kServe) return false;  // the rest is public, too
        if (path == file.real) return true;
        break;
    }
  }
  return false;
}

bool ServerFiles::lieAt(std::string_view root) const {
  return std::ranges::any_of(*now(), [root](const ServerFile& file) {
    return file.kind != FileKind::kPublic &&
           (isWithin(file.real, root) || (isWithin(root, file.real) && reachesInto(file, root)));
  });
}

bool ServerFiles::know(const struct stat& status, FileUse use) const {
  const Files files = now();
  const std::pair<dev_t, ino_t> identity{status.st_dev, status.st_ino};
  for (const ServerFile& file : *files) {
    if (file.kind == FileKind::kPublic && use == FileUse::kServe) return false;
    if (file.identity == identity) return true;
  }
  return false;
}

void ServerFiles::refresh() {
  auto files = std::make_shared<std::vector<ServerFile>>(*now());
  for (ServerFile& file : *files) {
    if (!isFolder(file.kind)) look(file);
  }
  const MutexLock lock(mutex_);
  files_ = std::move(files);
}

}  // namespace egalaxyd
