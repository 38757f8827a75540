#include "master/child/database.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/storage/schema.h"
#include "common/system/log.h"
#include "common/system/sandbox.h"
#include "master/child/query_runner.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// The database itself comes last: as long as it is in the old place, the move is not over, and
/// when it arrives, what belongs to it is there.
constexpr std::array kFiles = {"egalaxyd.db-shm", "egalaxyd.db-wal", "egalaxyd.db-journal",
                               "egalaxyd.db"};
constexpr const char* kMainFile = kFiles.back();

struct Folder {
  UniqueFd fd;
  fs::path path;

  std::string of(const char* name) const { return (path / name).string(); }
  bool has(const char* name) const {
    return ::faccessat(fd.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  }
  Result<void> sync() const {
    if (::fsync(fd.get()) != 0) return errnoError("sync " + path.string(), errno);
    return {};
  }
};

/// A file that may be moved, or given away.
struct Found {
  const char* name;
  UniqueFd fd;
};

/// Those of kFiles that are in `folder`, which the master alone may write to. Each must be a
/// regular file with one name: a second name (hard link) would be given away with it.
Result<std::vector<Found>> filesIn(const Folder& folder, std::initializer_list<uid_t> owners) {
  std::vector<Found> found;
  for (const char* name : kFiles) {
    UniqueFd fd(::openat(folder.fd.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd && errno == ENOENT) continue;
    struct stat info {};
    if (!fd && errno != ELOOP && errno != ENXIO)
      return errnoError("open " + folder.of(name), errno);
    if (fd && ::fstat(fd.get(), &info) != 0) return errnoError("look at " + folder.of(name), errno);
    if (!fd || !S_ISREG(info.st_mode) || info.st_nlink != 1) {
      return Error{ErrorCode::kPermission,
                   folder.of(name) + ": not a regular file with one name; move it away"};
    }
    if (std::ranges::find(owners, info.st_uid) == owners.end()) {
      return Error{ErrorCode::kPermission,
                   fmt::format("{} belongs to user {}, who is neither the server nor its workers; "
                               "chown it, or move it away",
                               folder.of(name), info.st_uid)};
    }
    found.push_back({name, std::move(fd)});
  }
  return found;
}

Result<void> give(const std::vector<Found>& files, const Folder& folder, const Account& owner) {
  for (const Found& file : files) {
    if (::fchown(file.fd.get(), owner.uid, owner.gid) != 0) {
      return errnoError("give " + folder.of(file.name) + " to " + owner.user, errno);
    }
  }
  return {};
}

Result<void> moveFile(const char* name, const Folder& from, const Folder& to) {
  if (::renameat(from.fd.get(), name, to.fd.get(), name) != 0) {
    return errnoError("move " + from.of(name) + " to " + to.of(name), errno);
  }
  return {};
}

/// The database of servers that kept it in the state folder.
Result<void> moveOldFiles(const Folder& state, const Folder& db,
                          const std::optional<Account>& owner) {
  if (!state.has(kMainFile)) return {};
  if (db.has(kMainFile)) {
    spdlog::warn("{} is not used: the database is {}", state.of(kMainFile), db.of(kMainFile));
    return {};
  }
  const auto files = filesIn(state, {::geteuid(), owner ? owner->uid : ::geteuid()});
  if (!files) return files.error();
  if (owner) {
    if (auto given = give(*files, state, *owner); !given) return given;
  }
  for (const Found& file : *files) {
    if (file.name == kMainFile) {
      if (auto synced = db.sync(); !synced) return synced;
    }
    if (auto moved = moveFile(file.name, state, db); !moved) return moved;
  }
  if (auto synced = db.sync(); !synced) return synced;
  if (auto synced = state.sync(); !synced) return synced;
  spdlog::info("the database was moved to {}", db.of(kMainFile));
  return {};
}

/// With what is in it. Where it is the workers' already, the master touches nothing there.
Result<void> giveFolder(const Folder& db, const Account& owner) {
  struct stat info {};
  if (::fstat(db.fd.get(), &info) != 0) return errnoError("look at " + db.path.string(), errno);
  if (info.st_uid == owner.uid && info.st_gid == owner.gid) return {};
  // First, so that no other files can be put in their place while they are moved.
  if (::fchown(db.fd.get(), ::geteuid(), owner.gid) != 0 || ::fchmod(db.fd.get(), 0700) != 0) {
    return errnoError("take " + db.path.string(), errno);
  }
  const auto files = filesIn(db, {info.st_uid, owner.uid});
  if (!files) return files.error();
  if (auto given = give(*files, db, owner); !given) return given;
  if (::fchown(db.fd.get(), owner.uid, owner.gid) != 0) {
    return errnoError("give " + db.path.string() + " to " + owner.user, errno);
  }
  return {};
}

Result<Folder> openFolder(int at, const fs::path& name, fs::path path, int flags = 0) {
  UniqueFd fd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
  if (fd) return Folder{std::move(fd), std::move(path)};
  if (errno != ELOOP && errno != ENOTDIR) return errnoError("open " + path.string(), errno);
  return Error{ErrorCode::kInvalid,
               path.string() + " is no folder, but a symbolic link or a file: move it away"};
}

/// What the process that migrates has to say: "" or a failure.
std::string encode(const Result<void>& done) {
  if (done) return "";
  return fmt::format("{} {}", static_cast<int>(done.error().code), done.error().message);
}

Result<void> decode(const std::string& text) {
  if (text.empty()) return {};
  const auto code = static_cast<unsigned>(text.front() - '0');
  if (code > static_cast<unsigned>(ErrorCode::kIo) || text.size() < 2) {
    return Error{ErrorCode::kIo, "the process that prepares the database wrote nonsense"};
  }
  return Error{static_cast<ErrorCode>(code), logQuote(text.substr(2))};
}

}  // namespace

Result<void> prepareDatabaseFolder(const fs::path& stateDir, const std::optional<Account>& owner) {
  const auto state = openFolder(AT_FDCWD, stateDir, stateDir);
  if (!state) return state.error();
  const bool made = ::mkdirat(state->fd.get(), kDatabaseFolder, 0700) == 0;
  const fs::path path = stateDir / kDatabaseFolder;
  if (!made && errno != EEXIST) return errnoError("make folder " + path.string(), errno);
  const auto db = openFolder(state->fd.get(), kDatabaseFolder, path, O_NOFOLLOW);
  if (!db) return db.error();
  if (made) {
    if (auto synced = state->sync(); !synced) return synced;
  }
  // Root's workers have no right over what was another account's before.
  const auto receiver = !owner && ::geteuid() == 0 ? std::optional(Account{.user = "root"}) : owner;
  if (auto moved = moveOldFiles(*state, *db, receiver); !moved) return moved;
  return receiver ? giveFolder(*db, *receiver) : Result<void>();
}

Result<void> prepareDatabase(const ServerConfig& server, const std::optional<Account>& owner) {
  if (auto prepared = prepareDatabaseFolder(server.stateDir, owner); !prepared) return prepared;
  return prepareApart([&] {
    auto confined = confineToDatabase(server, owner);
    return confined ? migrateStorage(server.stateDir / kDatabaseFile) : confined;
  });
}

Result<void> prepareApart(const std::function<Result<void>()>& prepare) {
  const auto prepared =
      runAndWait([&] { return encode(prepare()); }, "the process that prepares the database");
  return prepared ? decode(*prepared) : prepared.error();
}

Result<void> confineToDatabase(const ServerConfig& server, const std::optional<Account>& owner) {
  if (auto dropped = dropPrivileges(owner); !dropped) return dropped;
  const auto entered = enterSandbox(
      server.sandbox, {.readable = {}, .writable = {server.stateDir / kDatabaseFolder}});
  return entered ? Result<void>() : entered.error();
}

}  // namespace egalaxyd
