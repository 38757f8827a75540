// What only a file can do: be shared, locked, damaged, full, or cut off in the middle.
#include "common/storage/sqlite_storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <thread>

#include "common/storage/schema.h"
#include "common/storage/sqlite_handle.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

std::int64_t askSql(const fs::path& file, const char* sql) {
  SqliteConnection connection = must(SqliteConnection::open(file, {}));
  SqliteQuery query(connection, sql);
  return query.next() ? query.integer(0) : -1;
}

fs::perms modeOf(const fs::path& file) { return fs::status(file).permissions(); }

class Sqlite : public testing::Test {
 protected:
  std::unique_ptr<Storage> open(std::chrono::milliseconds patience = {}) {
    return must(openSqliteStorage(file_, patience));
  }
  std::string makeUser(Storage& storage) {
    return must(storage.resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
  }

  TempDir dir_;
  const fs::path file_ = dir_ / "egalaxyd.db";
};

TEST_F(Sqlite, MigrationMakesAPrivateFileAndLeavesNothingElse) {
  must(migrateStorage(file_));
  EXPECT_EQ(modeOf(file_), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
  EXPECT_EQ(askSql(file_, "PRAGMA user_version"), kSchemaVersion);
  EXPECT_EQ(askSql(file_, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"),
            1);
}

TEST_F(Sqlite, MigrationKeepsWhatIsThere) {
  const std::string user = makeUser(*migratedSqlite(file_));
  must(migrateStorage(file_));
  EXPECT_EQ(must(open()->showUser(user)).id, user);
}

TEST_F(Sqlite, ADatabaseOfVersion5GetsNamesAndKeepsItsRows) {
  const std::string user = makeUser(*migratedSqlite(file_));
  runSql(file_, R"(
    ALTER TABLE users DROP COLUMN claimed;
    ALTER TABLE uploads DROP COLUMN writer;
    ALTER TABLE pending_uploads DROP COLUMN writer;
    DROP TABLE contents; DROP TABLE content_parts; DROP TABLE versions; DROP TABLE version_sums;
    PRAGMA user_version = 5;)");
  must(migrateStorage(file_));
  EXPECT_EQ(must(open()->showUser(user)).claimed, "");
  UploadRecord record = stored("/a", 1, user);
  record.writer = "ann";
  must(open()->recordUpload(record));
  EXPECT_EQ(must(open()->listUploads({}))[0].writer, "ann");
}

TEST_F(Sqlite, NoNumberOfARowIsOutOfRange) {
  const auto storage = migratedSqlite(file_);
  runSql(file_, R"(
    INSERT INTO uploads(id, time, protocol, host, path, user, client, mime, size, sha256,
      previous_sha256, outcome, latest, why, blocks) VALUES
      (1, -9223372036854775808, '', 'h', '/a', NULL, '', '', 9223372036854775807, '', '', 'stored',
       1, '', 9223372036854775807),
      (2, 9223372036854775807, '', 'h', '/b', NULL, '', '', 9223372036854775807, '', '', 'x', 1, '',
       -1),
      (3, 1, '', 'h', '/c', NULL, '', '', -5, '', '', 'stored', 1, '', 1);
    INSERT INTO users(id, first_seen, last_seen, visits) VALUES('a', -1, 9223372036854775807, -1);
  )");
  for (const UploadRecord& record : must(storage->listUploads({}))) {
    EXPECT_LT(record.time, at(300'000'000'000)) << record.id;
    EXPECT_LT(record.size, std::uint64_t{1} << 63) << record.id;
  }
  EXPECT_GE(must(storage->keptUploads("h", "/", "")).bytes, std::uint64_t{1} << 50);
  EXPECT_EQ(must(storage->keptUploads("h", "/c", "")).bytes, kBlockBytes);
  EXPECT_EQ(must(storage->announceUpload(stored("/x", 1))), 1);
  EXPECT_EQ(must(storage->listUsers(1))[0].visits, 0u);
}

TEST_F(Sqlite, NoRowMakesSumsOverflow) {
  const auto storage = migratedSqlite(file_);
  const auto keep = [&] {
    return must(atomically(*storage, Access::kWrite,
                           [&] { return storage->keptUploads("h", "", std::nullopt); }));
  };
  keep();
  for (int row = 0; row < 5; ++row) {
    runSql(file_,
           "INSERT INTO pending_uploads(time, protocol, host, path, client, mime, size, "
           "sha256, blocks) VALUES(1, '', 'h', '/x', '', '', 9223372036854775807, '', "
           "9223372036854775807)");
    runSql(file_,
           "INSERT INTO pending_uploads(time, protocol, host, path, client, mime, size, "
           "sha256, blocks) VALUES(1, '', 'h', '/x', '', '', -9223372036854775807, '', "
           "-9223372036854775807)");
  }
  EXPECT_EQ(keep().files, 5u);
  EXPECT_EQ(keep().bytes, 5 * ((std::uint64_t{1} << 50) + 1000 * kBlockBytes));
  runSql(file_, "DELETE FROM pending_uploads");
  EXPECT_EQ(keep(), KeptUploads{});
}

TEST_F(Sqlite, AMeasureTakesNoLongerTheMoreThereIs) {
  const auto storage = migratedSqlite(file_);
  must(atomically(*storage, Access::kWrite, [&]() -> Result<void> {
    for (int n = 0; n < 2000; ++n) {
      if (auto kept = storage->recordUpload(stored("/w/" + std::to_string(n), 1)); !kept) {
        return kept.error();
      }
    }
    return storage->keptUploads("example.org", "/w", std::nullopt).ok()
               ? Result<void>()
               : Error{ErrorCode::kIo, "no sums"};
  }));
  EXPECT_EQ(must(storage->keptUploads("example.org", "/w", "")).files, 2000u);
  // Told by the sums alone.
  runSql(file_, "UPDATE upload_sums SET files = 1");
  EXPECT_EQ(must(storage->keptUploads("example.org", "/w", "")).files, 1u);
}

TEST_F(Sqlite, MigrationTouchesNoFileThatHasAnotherName) {
  dir_.write("precious", "");
  fs::create_hard_link(dir_ / "precious", file_);
  EXPECT_EQ(migrateStorage(file_).error().code, ErrorCode::kPermission);
  fs::remove(file_);
  fs::create_symlink(dir_ / "precious", file_);
  EXPECT_FALSE(migrateStorage(file_));
  EXPECT_EQ(dir_.read("precious"), "");
}

TEST_F(Sqlite, RefusesTheFileOfANewerProgram) {
  must(migrateStorage(file_));
  runSql(file_, "PRAGMA user_version = 99");
  for (const Error& error : {migrateStorage(file_).error(), openSqliteStorage(file_, {}).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kIo);
    EXPECT_NE(error.message.find("newer egalaxyd"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(file_.string()), std::string::npos) << error.message;
  }
  EXPECT_EQ(askSql(file_, "PRAGMA user_version"), 99);
}

TEST_F(Sqlite, RefusesTheFileOfADevelopmentVersionAndKeepsIt) {
  const std::string user = makeUser(*migratedSqlite(file_));
  runSql(file_, "PRAGMA user_version = 4");
  for (const Error& error : {migrateStorage(file_).error(), openSqliteStorage(file_, {}).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kIo);
    EXPECT_NE(error.message.find("before 0.1.0"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("move it away"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(file_.string()), std::string::npos) << error.message;
  }
  runSql(file_, fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
  EXPECT_EQ(must(open()->showUser(user)).id, user);
}

TEST_F(Sqlite, DoesNotOpenWhatWasNeverMigrated) {
  EXPECT_EQ(openSqliteStorage(file_, {}).error().code, ErrorCode::kPermission);
  EXPECT_FALSE(fs::exists(file_));
  dir_.write("egalaxyd.db", "");
  EXPECT_EQ(openSqliteStorage(file_, {}).error().code, ErrorCode::kIo);
}

TEST_F(Sqlite, SaysWhenItIsOpenedThatATableIsMissing) {
  for (const char* table : {"pending_uploads", "upload_sums", "metadata"}) {
    fs::remove(file_);
    must(migrateStorage(file_));
    runSql(file_, "DROP TABLE " + std::string(table));
    for (const Error& error :
         {migrateStorage(file_).error(), openSqliteStorage(file_, {}).error()}) {
      EXPECT_EQ(error.code, ErrorCode::kIo);
      EXPECT_NE(error.message.find(table), std::string::npos) << error.message;
    }
  }
}

TEST_F(Sqlite, SaysThatAFileIsNoDatabase) {
  dir_.write("egalaxyd.db", std::string(5000, 'x'));
  for (const Error& error : {migrateStorage(file_).error(), openSqliteStorage(file_, {}).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kIo);
    EXPECT_NE(error.message.find("damaged or no database"), std::string::npos) << error.message;
  }
  EXPECT_EQ(dir_.read("egalaxyd.db"), std::string(5000, 'x'));
}

TEST_F(Sqlite, SaysThatAFileIsDamaged) {
  makeUser(*migratedSqlite(file_));
  const auto page =
      askSql(file_, "SELECT rootpage FROM sqlite_schema WHERE name = 'users_last_seen'");
  {
    std::fstream raw(file_, std::ios::in | std::ios::out | std::ios::binary);
    raw.seekp((page - 1) * 4096);  // each table can be read, the list of users cannot
    const std::string junk(4096, '\x5A');
    raw.write(junk.data(), static_cast<std::streamsize>(junk.size()));
  }
  const auto storage = open();
  const auto users = storage->listUsers(10);
  ASSERT_FALSE(users);
  EXPECT_EQ(users.error().code, ErrorCode::kIo);
  EXPECT_NE(users.error().message.find("damaged"), std::string::npos) << users.error().message;
  ASSERT_TRUE(storage->trouble());
  EXPECT_EQ(storage->trouble()->message, users.error().message);
}

/// Without root's rights over files while it lives; the thread's alone.
class AsNobody {
 public:
  AsNobody() { ::setfsuid(65534); }
  ~AsNobody() { ::setfsuid(::geteuid()); }
};

TEST_F(Sqlite, ReadsAFileThatItMayNotWrite) {
  const std::string user = makeUser(*migratedSqlite(file_));
  fs::permissions(dir_.path(), fs::perms::all);
  fs::permissions(file_, fs::perms(0444));
  const AsNobody asNobody;
  const auto storage = open();
  EXPECT_EQ(must(storage->showUser(user)).id, user);
  const auto written = storage->writeMetadata(user, "k", "v", at(1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kPermission);
  EXPECT_NE(written.error().message.find("may only be read"), std::string::npos);
}

TEST_F(Sqlite, SaysThatItMayNotOpenAFile) {
  must(migrateStorage(file_));
  fs::permissions(dir_.path(), fs::perms(0755));
  fs::permissions(file_, fs::perms::none);
  const AsNobody asNobody;
  EXPECT_EQ(openSqliteStorage(file_, {}).error().code, ErrorCode::kPermission);
  EXPECT_EQ(migrateStorage(file_).error().code, ErrorCode::kPermission);
}

TEST_F(Sqlite, AnswersBusyWhileAnotherWriterHoldsTheLock) {
  must(migrateStorage(file_));
  const auto first = open();
  const auto second = open();
  const std::string user = makeUser(*first);
  must(first->begin(Access::kWrite));
  must(first->writeMetadata(user, "k", "v", at(1)));
  EXPECT_EQ(second->writeMetadata(user, "k", "w", at(1)).error().code, ErrorCode::kBusy);
  EXPECT_EQ(second->trouble()->code, ErrorCode::kBusy);
  EXPECT_EQ(must(second->readMetadata(user, "k")), std::nullopt);
  EXPECT_EQ(migrateStorage(file_).ok(), true);  // nothing to write
  must(first->commit());
  must(second->writeMetadata(user, "k", "w", at(1)));
  EXPECT_EQ(must(first->readMetadata(user, "k")), "w");
}

/// How SQLite goes about it.
std::string planOf(const std::filesystem::path& file, const std::string& sql) {
  auto connection = must(SqliteConnection::open(file, {}));
  SqliteQuery query(connection, "EXPLAIN QUERY PLAN " + sql);
  std::string plan;
  while (query.next()) plan += std::string(query.text(3)) + "\n";
  return plan;
}

TEST_F(Sqlite, FindsThoseWhoCameLastLongAgoOrJustNowByAnIndex) {
  must(migrateStorage(file_));
  for (const char* sql :
       {"SELECT id FROM users WHERE +id >= '' AND +id < 'g' ORDER BY last_seen DESC, id LIMIT 1",
        "SELECT id FROM users WHERE last_seen < 5 LIMIT 9",
        "SELECT count(*) FROM users WHERE first_seen > 5 AND first_seen <= 9"}) {
    const std::string plan = planOf(file_, sql);
    EXPECT_NE(plan.find("INDEX users_"), std::string::npos) << plan;
    EXPECT_EQ(plan.find("TEMP B-TREE"), std::string::npos) << plan;
  }
}

TEST_F(Sqlite, LosesNoWriteOfTwoConnections) {
  must(migrateStorage(file_));
  constexpr int kEach = 12;
  const auto visitOften = [&] {
    const auto storage = open(std::chrono::seconds(20));
    for (int i = 0; i < kEach; ++i) {
      const Visit visit{fingerprint("a"), fingerprint("1"), 1, at(i), true};
      must(storage->addVisits({&visit, 1}));
    }
  };
  std::thread other(visitOften);
  visitOften();
  other.join();
  EXPECT_EQ(must(open()->showUser("a")).visits, 2u * kEach);
}

TEST_F(Sqlite, ReadsThenWritesThoughAnotherWroteMeanwhile) {
  must(migrateStorage(file_));
  const auto first = open();
  const auto second = open();
  const std::string user = makeUser(*first);
  must(first->begin(Access::kRead));
  must(first->readMetadata(user));
  must(second->writeMetadata(user, "k", "v", at(1)));
  EXPECT_TRUE(must(first->readMetadata(user)).empty());  // one snapshot
  must(first->commit());
  must(atomically(*first, Access::kWrite, [&]() -> Result<void> {
    EXPECT_EQ(must(first->readMetadata(user, "k")), "v");
    return first->writeMetadata(user, "k", "w", at(1));
  }));
}

void replaceSystemCall(const char* name, sqlite3_syscall_ptr call) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
  vfs->xSetSystemCall(vfs, name, call);
}

/// While it lives, SQLite's writes from number `from` on fail as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(int from) {
    left_ = from - 1;
    replaceSystemCall("write", reinterpret_cast<sqlite3_syscall_ptr>(&failingWrite));
    for (const char* name : {"pwrite", "pwrite64"}) {
      replaceSystemCall(name, reinterpret_cast<sqlite3_syscall_ptr>(&failingPwrite));
    }
  }
  ~FullDisk() {
    for (const char* name : {"write", "pwrite", "pwrite64"}) replaceSystemCall(name, nullptr);
  }

 private:
  static bool full() {
    if (left_-- > 0) return false;
    errno = ENOSPC;
    return true;
  }
  static ssize_t failingWrite(int fd, const void* bytes, std::size_t size) {
    return full() ? -1 : ::write(fd, bytes, size);
  }
  static ssize_t failingPwrite(int fd, const void* bytes, std::size_t size, off_t offset) {
    return full() ? -1 : ::pwrite(fd, bytes, size, offset);
  }
  static inline int left_ = 0;
};

/// While it lives, SQLite can open files of one folder only, as in the sandbox.
class OneFolder {
 public:
  explicit OneFolder(const fs::path& folder) {
    folder_ = folder.string();
    replaceSystemCall("open", reinterpret_cast<sqlite3_syscall_ptr>(&confinedOpen));
  }
  ~OneFolder() { replaceSystemCall("open", nullptr); }

 private:
  static int confinedOpen(const char* path, int flags, int mode) {
    if (std::string_view(path).starts_with(folder_)) return ::open(path, flags, mode);
    errno = EACCES;
    return -1;
  }
  static inline std::string folder_;
};

TEST_F(Sqlite, NeedsNoFolderForTemporaryFiles) {
  must(migrateStorage(file_));
  const OneFolder oneFolder(dir_.path());
  const auto storage = open();
  const std::string user = makeUser(*storage);
  const std::string large(kMaxMetadataBytes, 'x');
  const auto writeALot = [&](std::string_view text) -> Result<void> {
    for (int i = 0; i < 40; ++i) {
      auto done = storage->writeMetadata(user, "key " + std::to_string(i), text, at(1));
      if (!done) return done;
    }
    return {};
  };
  must(atomically(*storage, Access::kWrite, [&]() -> Result<void> {
    must(writeALot(large));
    const auto takenBack = atomically(*storage, Access::kWrite, [&]() -> Result<void> {
      must(writeALot("gone"));
      for (int i = 0; i < 500; ++i) {
        must(storage->recordUpload(stored("/" + std::to_string(i), 1, user)));
      }
      return Error{ErrorCode::kInvalid, "changed its mind"};
    });
    EXPECT_EQ(takenBack.error().message, "changed its mind");
    return {};
  }));
  EXPECT_EQ(must(storage->readMetadata(user)).at("key 39"), large);
  EXPECT_TRUE(must(storage->listUploads({})).empty());
}

TEST_F(Sqlite, KeepsTheOldOrTheNewWhereverTheDiskIsFull) {
  const std::string user = makeUser(*migratedSqlite(file_));
  const auto writeBoth = [&](Storage& storage, const std::string& text) {
    return atomically(storage, Access::kWrite, [&]() -> Result<void> {
      for (const char* key : {"a", "b"}) {
        if (auto done = storage.writeMetadata(user, key, text, at(1)); !done) return done;
      }
      return {};
    });
  };
  const std::string before(5000, 'o');
  const std::string after(5000, 'n');
  int failures = 0;
  for (bool done = false; !done; ++failures) {
    const auto storage = open();
    must(writeBoth(*storage, before));
    {
      const FullDisk full(failures + 1);
      const auto written = writeBoth(*storage, after);
      done = written.ok();
      if (!done) {
        EXPECT_EQ(written.error().code, ErrorCode::kNoSpace) << written.error().message;
      }
    }
    // The same connection, and one that comes after a restart.
    for (const auto& metadata :
         {must(storage->readMetadata(user)), must(open()->readMetadata(user))}) {
      EXPECT_EQ(metadata.at("a"), done ? after : before) << failures;
      EXPECT_EQ(metadata.at("b"), metadata.at("a")) << failures;
    }
  }
  EXPECT_GT(failures, 3);
}

TEST_F(Sqlite, GivesUpAGroupAsAWholeWhenTheDiskFillsUpWithinIt) {
  const auto storage = migratedSqlite(file_);
  const std::string user = makeUser(*storage);
  const std::string large(kMaxMetadataBytes, 'x');
  const auto write = [&](const std::string& key, const std::string& text) {
    return storage->writeMetadata(user, key, text, at(1));
  };
  must(storage->begin(Access::kWrite));
  must(write("first", "1"));
  {
    // More than the page cache holds, so that it is written before the commit.
    const FullDisk full(1);
    const auto lost = atomically(*storage, Access::kWrite, [&]() -> Result<void> {
      for (int i = 0; i < 100; ++i) {
        if (auto done = write("large " + std::to_string(i), large); !done) return done;
      }
      return {};
    });
    EXPECT_EQ(lost.error().code, ErrorCode::kNoSpace);
  }
  const bool last = write("last", "1").ok();
  const bool committed = storage->commit().ok();
  EXPECT_EQ(committed, last);
  EXPECT_EQ(must(storage->readMetadata(user)).size(), committed ? 2u : 0u);
  must(write("after", "1"));
}

TEST_F(Sqlite, KeepsEveryAcknowledgedWriteWhenTheProcessIsKilled) {
  const std::string user = makeUser(*migratedSqlite(file_));
  int acknowledged[2];
  ASSERT_EQ(::pipe(acknowledged), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto storage = open(std::chrono::seconds(20));
    for (int i = 0;; ++i) {
      must(storage->writeMetadata(user, "key " + std::to_string(i), std::string(3000, 'v'), at(i)));
      if (::write(acknowledged[1], &i, sizeof i) != sizeof i) ::_exit(1);
    }
  }
  ::close(acknowledged[1]);
  int last = -1;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(::read(acknowledged[0], &last, sizeof last), ssize_t{sizeof last});
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  while (::read(acknowledged[0], &last, sizeof last) == ssize_t{sizeof last}) {
  }
  ::close(acknowledged[0]);

  must(migrateStorage(file_));
  const auto metadata = must(open()->readMetadata(user));
  for (int i = 0; i <= last; ++i) {
    const auto found = metadata.find("key " + std::to_string(i));
    ASSERT_NE(found, metadata.end()) << i << " of " << last;
    EXPECT_EQ(found->second, std::string(3000, 'v'));
  }
  EXPECT_EQ(askSql(file_,
                   "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = "
                   "'ok'"),
            1);
}

}  // namespace
}  // namespace egalaxyd
