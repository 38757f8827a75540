#include "common/archive/backup_archive.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/archive/zstd_file.h"
#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/units.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kTitle = "egalaxyd backup, format ";
/// A certificate and its key for each of many hosts.
constexpr std::size_t kMostFiles = 20'000;
constexpr std::size_t kMostName = 255;

Error broken(const std::string& what) { return {ErrorCode::kInvalid, what}; }

bool isSafePath(std::string_view path) {
  while (true) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (part.empty() || part == "." || part == "..") return false;
    if (part.size() == path.size()) return true;
    path.remove_prefix(part.size() + 1);
  }
}

Result<void> checkTitle(std::string_view manifest) {
  if (!manifest.starts_with(kTitle)) return broken("it is no backup of egalaxyd");
  const std::string_view line = manifest.substr(0, manifest.find('\n'));
  const auto format = parseNumber(line.substr(kTitle.size()), 1, INT32_MAX);
  if (!format) return broken("it is no backup of egalaxyd");
  if (*format > kBackupFormat) {
    return broken(fmt::format("it is of format {}, made by a newer egalaxyd: this one knows {}",
                              *format, kBackupFormat));
  }
  return {};
}

}  // namespace

bool isBackupName(std::string_view name) {
  if (name == kBackupManifest || name == kBackupSums || name == kBackupDatabase) return true;
  if (name.size() > kMostName || !isPrintable(name) || holdsInvisible(name)) return false;
  for (const std::string_view folder : {kBackupConfiguration, kBackupCertificates}) {
    if (name.starts_with(folder)) return isSafePath(name.substr(folder.size()));
  }
  return false;
}

std::string backupTitle() { return fmt::format("{}{}\n", kTitle, kBackupFormat); }

Result<void> BackupWriter::begin(const std::string& name, std::uint64_t size) {
  if (!isBackupName(name)) return broken(name + ": a backup cannot hold this name");
  const auto header = tarHeader(name, size, time_);
  return header ? out_(*header) : header.error();
}

void BackupWriter::note(const std::string& name, const std::string& sum) {
  sums_ += fmt::format("{}  {}\n", sum, name);
}

Result<void> BackupWriter::add(const std::string& name, std::string_view content) {
  if (content.size() > kMostBackupFile) return broken(name + " is too large for a backup");
  if (auto begun = begin(name, content.size()); !begun) return begun;
  if (auto written = out_(content); !written) return written;
  note(name, sha256Hex(content));
  return out_(tarPadding(content.size()));
}

Result<void> BackupWriter::addFile(const std::string& name, int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errnoError("look at " + name, errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (auto begun = begin(name, size); !begun) return begun;
  Sha256 sum;
  std::array<char, 64 * 1024> bytes;
  for (off_t at = 0; at < info.st_size;) {
    const auto most = std::min<std::uint64_t>(bytes.size(), size - static_cast<std::uint64_t>(at));
    const ssize_t got = ::pread(fd, bytes.data(), static_cast<std::size_t>(most), at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return errnoError("read " + name, got < 0 ? errno : EIO);
    const std::string_view some(bytes.data(), static_cast<std::size_t>(got));
    sum.add(some);
    if (auto written = out_(some); !written) return written;
    at += got;
  }
  note(name, sum.hex());
  return out_(tarPadding(size));
}

Result<void> BackupWriter::finish() {
  const std::string sums = sums_;
  if (auto added = add(std::string(kBackupSums), sums); !added) return added;
  return out_(tarEnd());
}

Result<void> BackupReader::begin(const std::string& name, std::uint64_t size) {
  if (complete_) return broken("something follows its sums");
  if (!isBackupName(name)) {
    return broken("\"" + printable(name) + "\" does not belong into a backup");
  }
  if (names_.empty() && name != kBackupManifest) return broken("it is no backup of egalaxyd");
  if (!names_.insert(name).second) return broken(name + " is in it twice");
  if (names_.size() > kMostFiles) return broken("it has too many files");
  if (name == kBackupDatabase) {
    databaseSize_ = size;
  } else if (size > kMostBackupFile) {
    return broken(name + " is too large");
  }
  name_ = name;
  own_.clear();
  sum_ = Sha256();
  return isOwn() ? Result<void>() : files_.begin(name, size);
}

Result<void> BackupReader::bytes(std::string_view some) {
  sum_.add(some);
  if (!isOwn()) return files_.bytes(some);
  own_ += some;
  return {};
}

Result<void> BackupReader::end() {
  if (name_ == kBackupSums) {
    complete_ = own_ == sums_;
    return complete_ ? Result<void>()
                     : broken("its sums are not those of its files: it is damaged");
  }
  sums_ += fmt::format("{}  {}\n", sum_.hex(), name_);
  return isOwn() ? checkTitle(own_) : files_.end();
}

Result<void> BackupReader::finish() const {
  if (auto finished = tar_.finish(); !finished) return finished;
  if (!complete_) return broken("it is cut off: its sums are missing");
  if (!names_.contains(std::string(kBackupDatabase))) return broken("there is no database in it");
  return {};
}

Result<void> readBackup(int fd, BackupReader& reader) {
  const auto read = readZstd(fd, [&](std::string_view some) { return reader.feed(some); });
  return read ? reader.finish() : read;
}

}  // namespace egalaxyd
