// The database's folder: whose it is, and how an older layout comes into it.
#include "master/child/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "common/storage/schema.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr uid_t kWorkers = 4711;

uid_t ownerOf(const fs::path& file) {
  struct stat info {};
  EXPECT_EQ(::lstat(file.c_str(), &info), 0) << file;
  return info.st_uid;
}

/// A journal to be played back as soon as the database is opened, which then has its super-journal
/// deleted: the file `super`, if it names no other journal.
std::string hotJournal(const std::string& super, std::uint32_t pages) {
  const std::string magic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
  const auto number = [](std::uint32_t value) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift & 0xFFU);
    return bytes;
  };
  std::uint32_t sum = 0;
  for (const char c : super) sum += static_cast<unsigned char>(c);
  std::string header = magic + number(0) + number(7) + number(pages) + number(512) + number(4096);
  header.resize(512);
  const auto size = static_cast<std::uint32_t>(super.size());
  return header + number(0x40000) + super + number(size) + number(sum) + magic;
}

bool hasLandlock() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

class DatabaseFolder : public testing::Test {
 protected:
  DatabaseFolder() {
    fs::create_directory(state_);
    server_.stateDir = state_;
    server_.sandbox = SandboxMode::kAuto;
  }

  static bool isRoot() { return ::geteuid() == 0; }
  /// An account of the workers' own, where the test may give files to one.
  static std::optional<Account> workers() {
    if (!isRoot()) return std::nullopt;
    return Account{"root", kWorkers, kWorkers};  // the name is for initgroups(3)
  }
  Result<void> prepare(const std::optional<Account>& owner = workers()) {
    return prepareDatabaseFolder(state_, owner);
  }

  /// A database as a server left it that was killed: what was written last stands in its log.
  void makeOldLayout(const std::optional<Account>& owner = workers()) {
    const fs::path made = dir_.makeDir("made") / "made.db";
    {
      const auto storage = migratedSqlite(made);
      must(storage->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
      for (const char* suffix : {"", "-wal", "-shm"}) {
        const fs::path file = state_ / ("egalaxyd.db" + std::string(suffix));
        fs::copy_file(made.string() + suffix, file, fs::copy_options::overwrite_existing);
        if (owner) {
          EXPECT_EQ(::chown(file.c_str(), owner->uid, owner->gid), 0);
        }
      }
    }
    fs::remove_all(dir_ / "made");
    ASSERT_GT(fs::file_size(state_ / "egalaxyd.db-wal"), 0U);
  }
  std::size_t users() { return must(must(openSqliteStorage(database_, {}))->listUsers(10)).size(); }

  const TempDir dir_;
  const fs::path state_ = dir_ / "state";
  const fs::path folder_ = state_ / kDatabaseFolder;
  const fs::path database_ = state_ / kDatabaseFile;
  ServerConfig server_;
};

TEST_F(DatabaseFolder, IsMadeForTheWorkersAlone) {
  must(prepare());
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
  EXPECT_EQ(ownerOf(folder_), isRoot() ? kWorkers : ::geteuid());
  must(prepare());
}

TEST_F(DatabaseFolder, TakesAnOlderLayoutWithWhatItsLogHolds) {
  makeOldLayout();
  must(prepare());
  EXPECT_EQ(users(), 1U);
  EXPECT_EQ(std::distance(fs::directory_iterator(state_), {}), 1) << "db/ alone";
}

TEST_F(DatabaseFolder, GoesOnWithAMoveThatWasInterrupted) {
  // The order is the move's own.
  const char* const moved[] = {"egalaxyd.db-shm", "egalaxyd.db-wal"};
  for (std::size_t done = 0; done <= std::size(moved); ++done) {
    fs::remove_all(folder_);
    makeOldLayout();
    fs::create_directory(folder_);
    for (std::size_t i = 0; i < done; ++i) fs::rename(state_ / moved[i], folder_ / moved[i]);
    must(prepare());
    EXPECT_EQ(users(), 1U) << done;
    EXPECT_FALSE(fs::exists(state_ / "egalaxyd.db"));
  }
}

TEST_F(DatabaseFolder, LeavesAnOldFileBesideANewOne) {
  must(prepareDatabase(server_, std::nullopt));
  const auto size = fs::file_size(database_);
  dir_.write("state/egalaxyd.db", "old");
  must(prepare());
  EXPECT_EQ(fs::file_size(database_), size);
  EXPECT_EQ(dir_.read("state/egalaxyd.db"), "old");
}

TEST_F(DatabaseFolder, FollowsNoLink) {
  const fs::path elsewhere = dir_.makeDir("elsewhere");
  fs::create_directory_symlink(elsewhere, folder_);
  const auto prepared = prepare();
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.error().message, HasSubstr("db is no folder"));
  EXPECT_EQ(ownerOf(elsewhere), ::geteuid());
  EXPECT_TRUE(fs::is_empty(elsewhere));
  EXPECT_FALSE(prepareDatabase(server_, workers()));
}

TEST_F(DatabaseFolder, MovesNoFileOfAnotherKindOrName) {
  for (const char* name : {"egalaxyd.db-journal", "egalaxyd.db"}) {
    const fs::path precious = dir_.write("precious", "precious");
    for (const bool isHard : {false, true}) {
      fs::remove_all(state_);
      fs::create_directory(state_);
      makeOldLayout();
      fs::remove(state_ / name);
      isHard ? fs::create_hard_link(precious, state_ / name)
             : fs::create_symlink(precious, state_ / name);
      const auto prepared = prepare();
      ASSERT_FALSE(prepared) << name;
      EXPECT_EQ(prepared.error().code, ErrorCode::kPermission);
      EXPECT_THAT(prepared.error().message, HasSubstr(name));
      EXPECT_EQ(ownerOf(precious), ::geteuid());
      EXPECT_FALSE(fs::exists(database_));
    }
    fs::remove(precious);
  }
}

TEST_F(DatabaseFolder, MovesNoFileOfASomebodyElse) {
  if (!isRoot()) GTEST_SKIP() << "only root has files of others";
  makeOldLayout(Account{"", 4242, 4242});
  const auto prepared = prepare();
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.error().message, HasSubstr("belongs to user 4242"));
}

TEST_F(DatabaseFolder, GoesFromOneAccountToTheNext) {
  if (!isRoot()) GTEST_SKIP() << "only root gives files away";
  makeOldLayout(std::nullopt);
  must(prepare(std::nullopt));
  for (const uid_t next : {kWorkers, kWorkers + 1, uid_t{0}}) {
    must(prepare(next == 0 ? std::nullopt : std::optional(Account{"root", next, next})));
    EXPECT_EQ(ownerOf(folder_), next);
    EXPECT_EQ(ownerOf(database_), next);
    EXPECT_EQ(ownerOf(database_.string() + "-wal"), next);
  }
}

TEST_F(DatabaseFolder, TouchesNothingInWhatTheWorkersHave) {
  if (!isRoot()) GTEST_SKIP() << "only root gives files away";
  must(prepare());
  const fs::path precious = dir_.write("precious", "precious");
  fs::create_hard_link(precious, database_);
  fs::create_symlink(precious, folder_ / "egalaxyd.db-wal");
  must(prepare());
  EXPECT_EQ(ownerOf(precious), 0U);
}

/// A journal names a file that is deleted once what the journal holds has been played back: SQLite
/// does that with the rights of the process that opens the database.
TEST_F(DatabaseFolder, AJournalThatWasPlantedDeletesNothingOutsideOfIt) {
  if (!isRoot() && !hasLandlock()) GTEST_SKIP() << "nothing confines that process here";
  fs::permissions(dir_.path(), fs::perms(0755));
  fs::permissions(state_, fs::perms(0755));
  const fs::path inside = state_ / "db/inside";
  for (const fs::path& victim : {dir_ / "victim", inside}) {
    must(prepareDatabase(server_, workers()));
    std::ofstream(victim) << "precious";
    const auto pages = static_cast<std::uint32_t>(fs::file_size(database_) / 4096);
    const std::string journal = database_.string() + "-journal";
    dir_.write("state/db/egalaxyd.db-journal", hotJournal(victim.string(), pages));
    if (isRoot()) {
      ASSERT_EQ(::chown(journal.c_str(), kWorkers, kWorkers), 0);
    }
    static_cast<void>(prepareDatabase(server_, workers()));
    EXPECT_EQ(fs::exists(victim), victim != inside) << "the journal is a working one, but confined";
    fs::remove(journal);
  }
}

}  // namespace
}  // namespace egalaxyd
