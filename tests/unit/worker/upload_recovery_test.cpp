#include "worker/upload/upload_recovery.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/sha256.h"
#include "common/storage/schema.h"
#include "common/unique_fd.h"
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
    fs::create_directories(dir_ / "state");
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

  std::int64_t announce(const std::string& path, const std::string& content) {
    UploadRecord record = stored(path, content.size());
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    return must(storage_->announceUpload(record, std::nullopt));
  }

  TempDir dir_;
  fs::path root_ = dir_ / "root";
  Config config_;
  std::unique_ptr<Storage> storage_;
};

TEST_F(UploadRecovery, RemovesUnfinishedFilesAndNothingElse) {
  write(".egalaxyd-1-2", "half");
  write("deep/.egalaxyd-1-3", "half");
  write("page.gmi", "whole");
  write(".hidden", "whole");
  EXPECT_EQ(must(recoverUploads(config_)).removed, 2u);
  EXPECT_FALSE(fs::exists(root_ / "deep/.egalaxyd-1-3"));
  EXPECT_TRUE(fs::exists(root_ / "page.gmi"));
  EXPECT_TRUE(fs::exists(root_ / ".hidden"));
}

TEST_F(UploadRecovery, LeavesWhatIsStillBeingWritten) {
  write(".egalaxyd-1-2", "half");
  const UniqueFd writer(::open((root_ / ".egalaxyd-1-2").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(writer.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(must(recoverUploads(config_)).removed, 0u);
  EXPECT_TRUE(fs::exists(root_ / ".egalaxyd-1-2"));
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
  const RecoveredUploads recovered = must(recoverUploads(config_));
  EXPECT_EQ(recovered.settled, 2u);
  EXPECT_EQ(recovered.dropped, 4u);
  const auto latest = [&](std::string_view path) {
    return must(storage_->latestUpload("example.org", path))->outcome;
  };
  EXPECT_EQ(latest("/wiki/new.gmi"), UploadOutcome::kStored);
  EXPECT_EQ(latest("/wiki/gone.gmi"), UploadOutcome::kDeleted);
  EXPECT_EQ(must(storage_->listUploads({})).size(), 2u);
  EXPECT_TRUE(must(storage_->pendingUploads()).empty());
}

}  // namespace
}  // namespace egalaxyd
