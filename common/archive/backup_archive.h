// What a backup holds: a tar archive of
//   MANIFEST               "egalaxyd backup, format 1", and words for people
//   configuration/NAME     the configuration, its own file first; paths are relative to its folder
//   certificates/NAME      those that the server made or was given, with their keys
//   db/egalaxyd.db         the database
//   SHA256SUMS             the sum of each of them, as sha256sum(1) checks them
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "common/archive/tar.h"
#include "common/base/result.h"
#include "common/base/sha256.h"

namespace egalaxyd {

inline constexpr int kBackupFormat = 1;
inline constexpr std::string_view kBackupManifest = "MANIFEST";
inline constexpr std::string_view kBackupSums = "SHA256SUMS";
inline constexpr std::string_view kBackupConfiguration = "configuration/";
inline constexpr std::string_view kBackupCertificates = "certificates/";
inline constexpr std::string_view kBackupDatabase = "db/egalaxyd.db";
/// Most bytes of any file of it but the database.
inline constexpr std::size_t kMostBackupFile = 4 * 1024 * 1024;

/// Whether a backup may hold a file of this name: one of those above, without ".", "..", an empty
/// part, or anything that is not printable. Pure.
bool isBackupName(std::string_view name);
/// The MANIFEST's first line, with its end.
std::string backupTitle();

/// Writes the archive, uncompressed, to `out`, whose failure ends it. Blocking.
class BackupWriter {
 public:
  using Out = std::function<Result<void>(std::string_view)>;
  BackupWriter(Out out, std::int64_t time) : out_(std::move(out)), time_(time) {}

  Result<void> add(const std::string& name, std::string_view content);
  /// All of a regular file that nobody changes, from its beginning.
  Result<void> addFile(const std::string& name, int fd);
  /// The sums and the end.
  Result<void> finish();

 private:
  Result<void> begin(const std::string& name, std::uint64_t size);
  void note(const std::string& name, const std::string& sum);

  Out out_;
  std::int64_t time_;
  std::string sums_;
};

/// Reads the archive as its bytes come and passes on its files, but not MANIFEST and SHA256SUMS.
/// Nobody vouches for the archive: nothing in it is believed before its end has come.
class BackupReader final : private TarSink {
 public:
  /// `files` must outlive it. It is told of names for which isBackupName(), each once.
  explicit BackupReader(TarSink& files) : files_(files), tar_(*this) {}

  /// kInvalid, in words: this is no backup, it is damaged, or of a newer egalaxyd.
  Result<void> feed(std::string_view some) { return tar_.feed(some); }
  /// All has been fed. kInvalid: it is not whole.
  Result<void> finish() const;
  /// The sum of each file that was read, a line each.
  const std::string& sums() const { return sums_; }
  std::uint64_t databaseSize() const { return databaseSize_; }

 private:
  Result<void> begin(const std::string& name, std::uint64_t size) override;
  Result<void> bytes(std::string_view some) override;
  Result<void> end() override;
  bool isOwn() const { return name_ == kBackupManifest || name_ == kBackupSums; }

  TarSink& files_;
  TarReader tar_;
  std::string name_;  ///< of the file that comes
  std::string own_;   ///< its content, where that is not passed on
  std::set<std::string> names_;
  Sha256 sum_;
  std::string sums_;
  bool complete_ = false;  ///< SHA256SUMS has come, and is right
  std::uint64_t databaseSize_ = 0;
};

/// Reads the whole archive, compressed with zstd, in `fd`. Blocking.
Result<void> readBackup(int fd, BackupReader& reader);

}  // namespace egalaxyd
