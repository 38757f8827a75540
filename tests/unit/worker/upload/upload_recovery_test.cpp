#include "worker/upload/upload_recovery.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "common/base/sha256.h"
#include "common/base/unique_fd.h"
#include "common/storage/schema.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// A capsule that takes uploads at /wiki, and its records.
class UploadRecovery : public testing::Test {
 protected:
  UploadRecovery() {
    fs::create_directories(root_ / "deep");
    fs::create_directories(dir_ / "state" / kDatabaseFolder);
    config_.server.stateDir = dir_ / "state";
    DirectoryArgs args;
    args.root = root_;
    args.upload.emplace();
    SiteConfig site;
    site.host = "example.org";
    site.mounts.push_back({"/wiki", "", args});
    config_.sites.push_back(site);
    storage_ = migratedSqlite(config_.server.stateDir / kDatabaseFile);
  }

  void write(const fs::path& name, const std::string& text) { std::ofstream(root_ / name) << text; }

  std::int64_t announce(const std::string& path, const std::string& content,
                        const std::string& unfinished = "", std::int64_t worker = 1) {
    UploadRecord record = stored(path, content.size());
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    record.worker = worker;
    record.unfinished = unfinished;
    return must(storage_->announceUpload(record));
  }

  RecoveredUploads recover() { return must(recoverUploads(config_, {})); }
  bool isThere(const fs::path& name) { return fs::exists(root_ / name); }
  std::vector<UploadRecord> pending() {
    return must(storage_->pendingUploads(std::numeric_limits<std::int64_t>::min(), 1000));
  }

  TempDir dir_;
  fs::path root_ = dir_ / "root";
  Config config_;
  std::unique_ptr<Storage> storage_;
};

TEST_F(UploadRecovery, RemovesTheUnfinishedFilesThatRecordsNameAndNothingElse) {
  for (const char* name : {".egalaxyd-1-2", "deep/.egalaxyd-1-3", ".egalaxyd-1-4", "page.gmi",
                           ".hidden", "deep/page.gmi"}) {
    write(name, "half");
  }
  announce("/wiki/new.gmi", "new", ".egalaxyd-1-2");
  announce("/wiki/deep/new.gmi", "new", ".egalaxyd-1-3");
  announce("/wiki/deep/a.gmi", "a", "page.gmi");
  announce("/wiki/b.gmi", "b", "deep/.egalaxyd-1-3");
  announce("/wiki/c.gmi", "c", ".hidden");
  EXPECT_EQ(recover().removed, 2u);
  EXPECT_FALSE(isThere(".egalaxyd-1-2"));
  EXPECT_FALSE(isThere("deep/.egalaxyd-1-3"));
  for (const char* name : {".egalaxyd-1-4", "page.gmi", ".hidden", "deep/page.gmi"}) {
    EXPECT_TRUE(isThere(name)) << name;
  }
}

TEST_F(UploadRecovery, LooksForWhatAnOlderServerLeftBesideItsFile) {
  write("deep/.egalaxyd-1-3", "half");
  write(".egalaxyd-1-4", "half");
  announce("/wiki/deep/new.gmi", "new", "", 0);
  EXPECT_EQ(recover().removed, 1u);
  EXPECT_FALSE(isThere("deep/.egalaxyd-1-3"));
  EXPECT_TRUE(isThere(".egalaxyd-1-4")) << "nobody walks through trees";
}

TEST_F(UploadRecovery, LeavesWhatIsStillBeingWritten) {
  write(".egalaxyd-1-2", "half");
  announce("/wiki/new.gmi", "new", ".egalaxyd-1-2");
  const UniqueFd writer(::open((root_ / ".egalaxyd-1-2").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(writer.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(recover().removed, 0u);
  EXPECT_TRUE(isThere(".egalaxyd-1-2"));
}

TEST_F(UploadRecovery, LeavesTheRecordsOfWorkersThatLive) {
  DeadWorkers dead;
  const std::int64_t died = dead.ids.next();
  const std::int64_t lives = dead.ids.next();
  dead.ours.insert(died);
  write(".egalaxyd-1-2", "half");
  write("new.gmi", "new");
  announce("/wiki/new.gmi", "new", "", died);
  announce("/wiki/old.gmi", "old", ".egalaxyd-1-2", lives);
  const RecoveredUploads recovered = must(recoverUploads(config_, dead));
  EXPECT_EQ(recovered.settled, 1u);
  EXPECT_EQ(recovered.dropped + recovered.removed, 0u);
  ASSERT_EQ(pending().size(), 1u);
  EXPECT_EQ(pending()[0].worker, lives);
  EXPECT_TRUE(isThere(".egalaxyd-1-2"));
}

TEST_F(UploadRecovery, ContentThatWasNeverWholeIsNoDeletion) {
  UploadRecord record = stored("/wiki/new.gmi", 100);
  record.sha256.clear();
  must(storage_->announceUpload(record));
  EXPECT_EQ(recover().dropped, 1u);
  EXPECT_TRUE(must(storage_->listUploads({})).empty());
}

TEST_F(UploadRecovery, DropsWhatTheRecordsTellAlready) {
  write("page.gmi", "text");
  UploadRecord record = stored("/wiki/page.gmi", 4);
  record.sha256 = sha256Hex("text");
  must(storage_->recordUpload(record));
  announce("/wiki/page.gmi", "text");
  EXPECT_EQ(recover().dropped, 1u);
  EXPECT_EQ(must(storage_->listUploads({})).size(), 1u);
}

TEST_F(UploadRecovery, KeepsRecordsWhileTheirDiskIsAway) {
  announce("/wiki/new.gmi", "new");
  fs::rename(root_, dir_ / "away");
  const RecoveredUploads recovered = recover();
  EXPECT_EQ(recovered.left, 1u);
  EXPECT_NE(recovered.why, "");
  EXPECT_EQ(pending().size(), 1u);
}

TEST_F(UploadRecovery, NoRowIsInTheWayOfTheOthers) {
  write("new.gmi", "new");
  write("wiki", "new");
  const std::string longPath = "/wiki/" + std::string(100'000, 'x');
  for (const std::string path :
       {"", "/", "/wiki", "/wiki/", "wiki", "wiki/new.gmi", "x", "/wikipedia", "/wiki//new.gmi",
        "/wiki/./new.gmi", "/wiki/../wiki/new.gmi", "/wiki/deep", "/wiki/deep/", "/wiki/new.gmi/x",
        "/wiki/\xff\xfe", "/wiki/a\nb", "//", "/wiki/%6eew.gmi"}) {
    announce(path, "new");
    announce(path, "");
  }
  announce(longPath, "new");
  announce(std::string("/wiki/new.gmi\0", 14), "new");
  announce(std::string("/wiki/new\0.gmi", 14), "");
  announce("/wiki/none", "", std::string(".egalaxyd-\0x", 12));
  announce("/wiki/none2", "x", ".egalaxyd-" + std::string(10'000, 'x'));
  announce("/wiki/none3", "x", ".egalaxyd-/../../new.gmi");
  const auto sql = [&](const std::string& text) {
    runSql(config_.server.stateDir / kDatabaseFile, text);
  };
  sql("INSERT INTO pending_uploads(id, time, protocol, host, path, user, client, mime, size, "
      "sha256, worker, unfinished) VALUES"
      "(-9223372036854775807, -9223372036854775808, '', 'example.org', '/wiki/a', NULL, '', '', "
      "-1, 'x', -1, ''),"
      "(9223372036854775806, 9223372036854775807, cast(x'ff' AS TEXT), 'nowhere', '/wiki/a', NULL, "
      "'', '', "
      "9223372036854775807, 'x', 9223372036854775807, '')");
  // The last one is good, and settled in spite of them all.
  UploadRecord good = stored("/wiki/new.gmi", 3);
  good.sha256 = sha256Hex("new");
  must(storage_->announceUpload(good));
  const RecoveredUploads recovered = recover();
  EXPECT_EQ(recovered.left, 0u) << recovered.why;
  EXPECT_TRUE(pending().empty());
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/wiki/new.gmi"))->sha256, good.sha256);
  EXPECT_TRUE(isThere("new.gmi"));
  EXPECT_TRUE(isThere("deep"));
}

TEST_F(UploadRecovery, RemovesTheFoldersThatWereMadeForNothing) {
  fs::create_directories(root_ / "a/b");
  write("a/old.gmi", "old");
  announce("/wiki/a/b/new.gmi", "new");
  EXPECT_EQ(recover().dropped, 1u);
  EXPECT_TRUE(isThere("a/b")) << "uploads make none here";
  auto& args = std::get<DirectoryArgs>(config_.sites[0].mounts[0].args);
  args.upload->createDirectories = true;
  announce("/wiki/a/b/new.gmi", "new");
  EXPECT_EQ(recover().dropped, 1u);
  EXPECT_FALSE(isThere("a/b"));
  EXPECT_TRUE(isThere("a/old.gmi"));
  EXPECT_TRUE(isThere("deep")) << "nobody walks through trees";
}

TEST_F(UploadRecovery, KeepsTheFoldersOfAFileThatIsThere) {
  auto& args = std::get<DirectoryArgs>(config_.sites[0].mounts[0].args);
  args.upload->createDirectories = true;
  fs::create_directories(root_ / "a/b");
  write("a/b/new.gmi", "new");
  announce("/wiki/a/b/new.gmi", "new");
  EXPECT_EQ(recover().settled, 1u);
  EXPECT_TRUE(isThere("a/b/new.gmi"));
}

TEST_F(UploadRecovery, SettlesWhatHasHappenedAndDropsWhatHasNot) {
  write("new.gmi", "new");
  write("deep/old.gmi", "old");
  write("still.gmi", "here");
  announce("/wiki/new.gmi", "new");
  announce("/wiki/deep/old.gmi", "newer");
  announce("/wiki/missing.gmi", "text");
  announce("/wiki/gone.gmi", "");
  announce("/wiki/still.gmi", "");
  announce("/other/x", "text");
  const RecoveredUploads recovered = recover();
  EXPECT_EQ(recovered.settled, 2u);
  EXPECT_EQ(recovered.dropped, 4u);
  const auto latest = [&](std::string_view path) {
    return must(storage_->latestUpload("example.org", path))->outcome;
  };
  EXPECT_EQ(latest("/wiki/new.gmi"), UploadOutcome::kStored);
  EXPECT_EQ(latest("/wiki/gone.gmi"), UploadOutcome::kDeleted);
  EXPECT_EQ(must(storage_->listUploads({})).size(), 2u);
  EXPECT_TRUE(must(storage_->pendingUploads(0, 100)).empty());
}

}  // namespace
}  // namespace egalaxyd
