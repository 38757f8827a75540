#include "master/restore_backup.h"

#include <fcntl.h>
#include <pwd.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>
#include <system_error>

#include "common/archive/backup_archive.h"
#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/base/units.h"
#include "common/base/write_all.h"
#include "common/storage/database_copy.h"
#include "common/storage/schema.h"
#include "common/system/instance_lock.h"
#include "common/tls/certificate_files.h"
#include "master/child/database.h"
#include "master/child/query_runner.h"
#include "master/start/server_paths.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// In the state folder, until what is in it is in its place.
constexpr const char* kRestoring = "restoring";
constexpr const char* kRestoredEnding = ".restored";
/// What a restore replaces, in this order: a server that finds no database makes one.
constexpr const char* kRestoredFolders[] = {kCertificatesFolder, kDatabaseFolder};

Error about(const fs::path& file, const Error& error) {
  return {error.code, file.string() + ": " + error.message};
}

Result<void> syncFolder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return errnoError("sync " + folder.string(), errno);
  return {};
}

Result<void> makeFolder(const fs::path& folder, mode_t mode) {
  if (::mkdir(folder.c_str(), mode) == 0 || errno == EEXIST) return {};
  return errnoError("make folder " + folder.string(), errno);
}

Result<void> move(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return errnoError(fmt::format("move {} to {}", from.string(), to.string()), errno);
}

bool isThere(const fs::path& path) {
  std::error_code failed;
  return fs::exists(fs::symlink_status(path, failed));
}

/// A new file, mode 0600, that is on the disk when end() has succeeded.
class WrittenFile {
 public:
  Result<void> begin(const fs::path& path) {
    path_ = path;
    fd_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return fd_ ? Result<void>() : errnoError("make " + path.string(), errno);
  }
  Result<void> write(std::string_view bytes) const {
    const int why = writeAll(fd_.get(), bytes);
    return why == 0 ? Result<void>() : errnoError("write " + path_.string(), why);
  }
  Result<void> end() {
    if (::fsync(fd_.get()) != 0) return errnoError("sync " + path_.string(), errno);
    fd_.reset();
    return {};
  }
  int fd() const { return fd_.get(); }

 private:
  fs::path path_;
  UniqueFd fd_;
};

/// Puts certificates and database below a folder; leaves the configuration out.
class StateFiles final : public TarSink {
 public:
  explicit StateFiles(fs::path folder) : folder_(std::move(folder)) {}

  Result<void> begin(const std::string& name, std::uint64_t) override {
    isOurs_ = !name.starts_with(kBackupConfiguration);
    if (!isOurs_) return {};
    const fs::path relative(name);
    fs::path folder = folder_;
    for (const fs::path& part : relative.parent_path()) {
      folder /= part;
      if (auto made = makeFolder(folder, 0700); !made) return made;
    }
    return file_.begin(folder_ / relative);
  }
  Result<void> bytes(std::string_view some) override {
    return isOurs_ ? file_.write(some) : Result<void>();
  }
  Result<void> end() override { return isOurs_ ? file_.end() : Result<void>(); }

 private:
  fs::path folder_;
  WrittenFile file_;
  bool isOurs_ = false;
};

/// Says why what is there must not be replaced without --force.
Result<void> checkEmpty(const fs::path& state) {
  std::error_code failed;
  for (const fs::path& what : {state / kDatabaseFile, state / fs::path(kDatabaseFile).filename(),
                               state / kCertificatesFolder}) {
    if (!isThere(what) || (fs::is_directory(what, failed) && fs::is_empty(what, failed))) continue;
    return Error{ErrorCode::kExists,
                 fmt::format("the state folder is not empty: there is {}; --force moves what is "
                             "there aside, or name another one with --state-dir",
                             what.string())};
  }
  return {};
}

/// With what is in it. Not the folder's own entry in its parent.
Result<void> syncTree(const fs::path& folder) {
  std::error_code failed;
  for (fs::recursive_directory_iterator each(folder, failed), end; !failed && each != end;
       each.increment(failed)) {
    if (!each->is_directory(failed)) continue;
    if (auto synced = syncFolder(each->path()); !synced) return synced;
  }
  if (failed) return errnoError("read " + folder.string(), failed.value());
  return syncFolder(folder);
}

/// The database that was unpacked, by a process that is confined to its folder.
Result<void> checkUnpacked(const ServerConfig& unpacked, const std::optional<Account>& workers) {
  const auto checked = runAndWait(
      [&]() -> std::string {
        auto good = confineToDatabase(unpacked, workers);
        if (good) good = checkDatabase(unpacked.stateDir / kDatabaseFile);
        return good ? "" : good.error().message;
      },
      "the process that checks the database");
  if (!checked) return checked.error();
  return checked->empty() ? Result<void>() : Error{ErrorCode::kInvalid, *checked};
}

/// The work in the state folder, by the account whose folder it is.
class StateRestore {
 public:
  StateRestore(const RestoreOrder& order, int archive, std::optional<Account> workers)
      : order_(order),
        archive_(archive),
        workers_(std::move(workers)),
        state_(order.server.stateDir),
        unpacked_(state_ / kRestoring) {}

  /// The folder that what was there is in now; "": there was nothing.
  Result<std::string> run() {
    const auto lock = InstanceLock::take(state_);
    if (!lock) return lock.error();
    if (!order_.force) {
      if (auto empty = checkEmpty(state_); !empty) return empty.error();
    }
    if (auto made = clear(); !made) return made.error();
    auto done = unpack();
    if (!done) {
      static_cast<void>(remove());
      return done.error();
    }
    return replace();
  }

 private:
  Result<void> remove() const {
    std::error_code failed;
    fs::remove_all(unpacked_, failed);
    if (failed) return errnoError("remove " + unpacked_.string(), failed.value());
    return syncFolder(state_);
  }

  /// An empty folder, which the workers' account may pass.
  Result<void> clear() const {
    if (auto removed = remove(); !removed) return removed;
    if (auto made = makeFolder(unpacked_, 0700); !made) return made;
    if (::chmod(unpacked_.c_str(), workers_ ? 0711 : 0700) != 0) {
      return errnoError("chmod " + unpacked_.string(), errno);
    }
    return syncFolder(state_);
  }

  Result<void> unpack() const {
    StateFiles files(unpacked_);
    BackupReader reader(files);
    if (auto read = readBackup(archive_, reader); !read) return about(order_.archive, read.error());
    if (auto given = prepareDatabaseFolder(unpacked_, workers_); !given) return given;
    ServerConfig unpacked = order_.server;
    unpacked.stateDir = unpacked_;
    if (auto checked = checkUnpacked(unpacked, workers_); !checked) {
      return about(order_.archive, checked.error());
    }
    return syncTree(unpacked_);
  }

  /// From here on only a whole restore makes a state that a server starts with: see
  /// noRestoreUnderWay().
  Result<std::string> replace() const {
    const std::string time =
        timeText(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    fs::path aside = state_ / ("replaced-" + time);
    for (int number = 2; isThere(aside); ++number) {
      aside = state_ / fmt::format("replaced-{}-{}", time, number);
    }
    for (const char* name : kRestoredFolders) {
      if (!isThere(state_ / name)) continue;
      if (auto made = makeFolder(aside, 0700); !made) return made.error();
      if (auto moved = move(state_ / name, aside / name); !moved) return moved.error();
    }
    for (const char* name : kRestoredFolders) {
      if (!isThere(unpacked_ / name)) continue;
      if (auto moved = move(unpacked_ / name, state_ / name); !moved) return moved.error();
    }
    if (isThere(aside)) {
      if (auto synced = syncFolder(aside); !synced) return synced.error();
    }
    if (auto synced = syncFolder(state_); !synced) return synced.error();
    if (auto removed = remove(); !removed) return removed.error();
    return isThere(aside) ? aside.string() : std::string();
  }

  const RestoreOrder& order_;
  int archive_;
  std::optional<Account> workers_;
  fs::path state_;
  fs::path unpacked_;
};

/// The account that root works as in a state folder of another account; nullopt: its own, also
/// where the folder is missing.
Result<std::optional<Account>> ownerOf(const fs::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    if (errno == ENOENT) return std::optional<Account>();
    return errnoError("look at " + folder.string(), errno);
  }
  if (::geteuid() != 0 || info.st_uid == 0) return std::optional<Account>();
  const passwd* owner = ::getpwuid(info.st_uid);
  if (owner == nullptr) {
    return Error{ErrorCode::kPermission,
                 fmt::format("{} belongs to user {}, whom this machine does not know: chown it",
                             folder.string(), info.st_uid)};
  }
  return std::optional(Account{.user = owner->pw_name, .uid = owner->pw_uid, .gid = owner->pw_gid});
}

/// What the process says: "+" and where the old state is, or "-", the kind of failure and why.
std::string encodeOutcome(const Result<std::string>& outcome) {
  if (outcome) return "+" + *outcome;
  return fmt::format("-{}{}", static_cast<int>(outcome.error().code), outcome.error().message);
}

Result<std::string> decodeOutcome(const std::string& text) {
  if (text.starts_with("+")) return text.substr(1);
  const auto code = text.size() < 2 ? -1 : text[1] - '0';
  if (!text.starts_with("-") || code < 0 || code > static_cast<int>(ErrorCode::kIo)) {
    return Error{ErrorCode::kIo, "the process that restores wrote nonsense"};
  }
  return Error{static_cast<ErrorCode>(code), text.substr(2)};
}

Result<std::string> restoreState(const RestoreOrder& order, int archive) {
  const fs::path& state = order.server.stateDir;
  const auto owner = ownerOf(state);
  if (!owner) return owner.error();
  if (!*owner) {
    if (auto made = makeServerFolder(state, order.workers); !made) return made.error();
  }
  const auto outcome = runAndWait(
      [&]() -> std::string {
        if (*owner) {
          if (auto became = dropPrivileges(*owner); !became) return encodeOutcome(became.error());
        }
        const auto workers = *owner ? std::optional<Account>() : order.workers;
        return encodeOutcome(StateRestore(order, archive, workers).run());
      },
      "the process that restores", archive);
  return outcome ? decodeOutcome(*outcome) : outcome.error();
}

/// Writes the configuration's files, each beside the one that is there now, if there is one.
class ConfigurationFiles final : public TarSink {
 public:
  explicit ConfigurationFiles(const RestoreOrder& order) : order_(order) {}

  Result<void> begin(const std::string& name, std::uint64_t) override {
    isOurs_ = name.starts_with(kBackupConfiguration);
    if (!isOurs_) return {};
    // The first is the configuration itself, whatever its name is here.
    const bool first = written_.empty();
    present_ = first
                   ? order_.configuration
                   : order_.configuration.parent_path() / name.substr(kBackupConfiguration.size());
    restored_ = present_.string() + kRestoredEnding;
    if (present_.has_parent_path()) {
      std::error_code failed;
      fs::create_directories(present_.parent_path(), failed);
      if (failed) return errnoError("make " + present_.parent_path().string(), failed.value());
    }
    if (::unlink(restored_.c_str()) != 0 && errno != ENOENT) {
      return errnoError("replace " + restored_.string(), errno);
    }
    return file_.begin(restored_);
  }
  Result<void> bytes(std::string_view some) override {
    return isOurs_ ? file_.write(some) : Result<void>();
  }
  Result<void> end() override {
    if (!isOurs_) return {};
    written_.push_back(restored_.string());
    if (auto given = giveAsPresent(); !given) return given;
    return file_.end();
  }
  const std::vector<std::string>& written() const { return written_; }

 private:
  /// Whoever may read the present one may read this; without one, the server's account may.
  Result<void> giveAsPresent() const {
    struct stat info {};
    const bool there = ::stat(present_.c_str(), &info) == 0;
    if (!there && !order_.workers) return {};
    const mode_t mode = there ? info.st_mode & 0777U : 0640U;
    const uid_t owner = there ? info.st_uid : ::geteuid();
    const gid_t group = there ? info.st_gid : order_.workers->gid;
    if (::geteuid() == 0 && ::fchown(file_.fd(), owner, group) != 0) {
      return errnoError("chown " + restored_.string(), errno);
    }
    if (::geteuid() == 0 || there) {
      if (::fchmod(file_.fd(), mode) != 0) return errnoError("chmod " + restored_.string(), errno);
    }
    return {};
  }

  const RestoreOrder& order_;
  WrittenFile file_;
  fs::path present_;
  fs::path restored_;
  bool isOurs_ = false;
  std::vector<std::string> written_;
};

}  // namespace

Result<std::vector<std::string>> restoreBackup(const RestoreOrder& order) {
  const UniqueFd archive(::open(order.archive.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!archive || ::fstat(archive.get(), &info) != 0) {
    return errnoError("open " + order.archive.string(), errno);
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalid, order.archive.string() + " is no file"};
  }
  const auto aside = restoreState(order, archive.get());
  if (!aside) return aside.error();
  std::vector<std::string> done{"restored into " + order.server.stateDir.string()};
  if (!aside->empty()) done.push_back("what was there before is in " + *aside);
  ConfigurationFiles files(order);
  BackupReader reader(files);
  if (const auto read = readBackup(archive.get(), reader); !read) {
    return Error{read.error().code,
                 "the state is restored, but not the configuration: " + read.error().message};
  }
  for (const std::string& file : files.written()) {
    done.push_back("the configuration of the backup is " + file);
  }
  return done;
}

Result<void> noRestoreUnderWay(const fs::path& stateDir) {
  const fs::path left = stateDir / kRestoring;
  if (!isThere(left)) return {};
  return Error{
      ErrorCode::kInvalid,
      fmt::format("a restore was interrupted: {} is what it left, and the state may be "
                  "half of it; run egalaxyd --restore again (with --force where it says "
                  "that the folder is not empty), or remove {} to start with what there is",
                  left.string(), left.string())};
}

}  // namespace egalaxyd
