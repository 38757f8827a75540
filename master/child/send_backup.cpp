#include "master/child/send_backup.h"

#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "common/archive/backup_archive.h"
#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/base/units.h"
#include "common/base/version.h"
#include "common/storage/database_copy.h"
#include "common/storage/schema.h"
#include "common/system/master_files.h"
#include "common/tls/certificate_files.h"
#include "common/wire/control_protocol.h"
#include "common/wire/machine_name.h"
#include "master/child/database.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr int kMillisecondsWithoutProgress = 60'000;

Result<void> sendWhole(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errnoError("send the backup", errno);
    pollfd room{socket, POLLOUT, 0};
    const int ready = ::poll(&room, 1, kMillisecondsWithoutProgress);
    if (ready == 0) return Error{ErrorCode::kBusy, "egalaxyctl took nothing for a minute"};
    if (ready < 0 && errno != EINTR) return errnoError("send the backup", errno);
  }
  return {};
}

Result<void> sendFrames(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view some = bytes.substr(0, kMostControlBytes);
    bytes.remove_prefix(some.size());
    if (auto sent = sendWhole(socket, fmt::format("{{\"bytes\":{}}}\n", some.size())); !sent) {
      return sent;
    }
    if (auto sent = sendWhole(socket, some); !sent) return sent;
  }
  return {};
}

/// Those that the configuration consists of, its own first.
std::vector<fs::path> configurationFiles(const Config& config) {
  if (config.file.empty()) return {};
  std::vector<fs::path> files{config.file};
  files.insert(files.end(), config.included.begin(), config.included.end());
  return files;
}

/// Its name in the backup: below the folder of the configuration's own file, or else by its whole
/// path.
std::string configurationName(const fs::path& file, const fs::path& own) {
  const fs::path relative = file.lexically_relative(own.parent_path());
  const bool below = !relative.empty() && *relative.begin() != "..";
  return std::string(kBackupConfiguration) +
         (below ? relative : "elsewhere" / file.relative_path()).string();
}

void addServed(std::vector<fs::path>& files, const std::vector<MountConfig>& mounts) {
  for (const MountConfig& mount : mounts) {
    if (const auto* folder = std::get_if<DirectoryArgs>(&mount.args)) {
      files.push_back(folder->root);
    } else if (const auto* file = std::get_if<FileArgs>(&mount.args)) {
      files.push_back(file->path);
    }
    if (const auto* nested = nestedMounts(mount.args)) addServed(files, *nested);
  }
}

/// What the configuration names and the backup does not hold.
std::set<fs::path> operatorsFiles(const Config& config) {
  std::vector<fs::path> files = masterFiles(config);
  std::set<fs::path> others{config.server.stateDir, config.server.runtimeDir};
  std::error_code error;
  for (const fs::path& file : configurationFiles(config)) others.insert(fs::absolute(file, error));
  for (const IncludePattern& pattern : config.includePatterns) {
    others.insert(fs::absolute(pattern.folder / pattern.names, error));
  }
  std::erase_if(files, [&](const fs::path& file) { return others.contains(file); });
  for (const SiteConfig& site : config.sites) addServed(files, site.mounts);
  return {files.begin(), files.end()};
}

std::string manifestOf(const Config& config, std::chrono::sys_seconds now) {
  std::string text = backupTitle();
  text += fmt::format("Made {} by egalaxyd {} on {}.\n", timeText(now), kVersion, machineName());
  text += fmt::format("State folder: {}\n", config.server.stateDir.string());
  text +=
      fmt::format("Configuration: {}\n", config.file.empty() ? "built in" : config.file.string());
  text +=
      "\nIt holds private keys and all that users wrote: keep it as safe as the server.\n"
      "\"egalaxyd --restore\" puts it back.\n"
      "\nNot in it, since these are files of your own, to be kept by yourself:\n";
  for (const fs::path& file : operatorsFiles(config))
    text += "  " + printable(file.string()) + "\n";
  return text.substr(0, kMostBackupFile);
}

Result<void> addFile(BackupWriter& backup, const std::string& name, const fs::path& file) {
  const auto content = readRegularFile(file, kMostBackupFile);
  if (!content) {
    return Error{content.error().code, file.string() + ": " + content.error().message};
  }
  return backup.add(name, *content);
}

/// Folders in it too. None is no failure: a server may have all its certificates elsewhere.
Result<void> addCertificates(BackupWriter& backup, const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator each(folder, failed), end; !failed && each != end;
       each.increment(failed)) {
    if (each->is_regular_file(failed) && !each->is_symlink(failed)) files.push_back(each->path());
  }
  if (failed == std::errc::no_such_file_or_directory) return {};
  if (failed) return errnoError("read " + folder.string(), failed.value());
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    const std::string name =
        std::string(kBackupCertificates) + file.lexically_relative(folder).string();
    if (auto added = addFile(backup, name, file); !added) return added;
  }
  return {};
}

/// What may be read with the master's rights alone.
Result<void> addFiles(BackupWriter& backup, const Config& config, std::chrono::sys_seconds now) {
  auto added = backup.add(std::string(kBackupManifest), manifestOf(config, now));
  if (!added) return added;
  for (const fs::path& file : configurationFiles(config)) {
    added = addFile(backup, configurationName(file, config.file), file);
    if (!added) return added;
  }
  return addCertificates(backup, config.server.stateDir / kCertificatesFolder);
}

Result<void> addDatabase(BackupWriter& backup, const ServerConfig& server) {
  const auto copy = copyDatabase(server.stateDir / kDatabaseFile);
  return copy ? backup.addFile(std::string(kBackupDatabase), copy->get()) : copy.error();
}

}  // namespace

Poco::JSON::Object sendBackup(int client, const Config& config,
                              const std::optional<Account>& account) {
  if (config.storage.engine != StorageKind::kSqlite) {
    return controlFailure(
        "users, uploads and their content are in the PostgreSQL that [storage] names: back that up "
        "with its own tools, such as pg_basebackup or pgbackrest, and with your usual ones the "
        "configuration and the certificates");
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  BackupWriter backup([client](std::string_view bytes) { return sendFrames(client, bytes); },
                      unixTime(now));
  auto sent = addFiles(backup, config, now);
  if (sent) sent = confineToDatabase(config.server, account);
  if (sent) sent = addDatabase(backup, config.server);
  if (sent) sent = backup.finish();
  return sent ? controlSuccess() : controlFailure(sent.error().message);
}

}  // namespace egalaxyd
