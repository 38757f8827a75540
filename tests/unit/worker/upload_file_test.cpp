#include "worker/upload/upload_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"
#include "worker/upload/folder_sync.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

class UploadFileTest : public testing::Test {
 protected:
  std::shared_ptr<UploadFile> fileAt(const std::string& name) {
    UploadPlace place;
    place.root =
        std::make_shared<const SiteRoot>(must(SiteRoot::openAt(dir_.path(), SymlinkPolicy::kDeny)));
    place.relative = name;
    place.neverServed = std::make_shared<const PrivateFiles>();
    return std::make_shared<UploadFile>(std::move(place));
  }
  /// Written, and not published.
  std::shared_ptr<UploadFile> written(const std::string& name, const std::string& text) {
    auto file = fileAt(name);
    must(file->append(text));
    must(file->finish());
    return file;
  }
  std::set<std::string> names() {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(dir_.path())) {
      found.insert(entry.path().filename().string());
    }
    return found;
  }
  using Names = std::set<std::string>;

  TempDir dir_;
};

TEST_F(UploadFileTest, ANewFileIsThereOnceItIsPublished) {
  {
    const auto file = written("page", "new");
    EXPECT_EQ(names(), Names{});
    EXPECT_FALSE(must(file->publish()));
    EXPECT_TRUE(file->isStillSo());
  }
  EXPECT_EQ(dir_.read("page"), "new");
  EXPECT_EQ(names(), Names{"page"});
}

TEST_F(UploadFileTest, AReplacedFileStaysBesideUntilItIsDiscarded) {
  dir_.write("page", "old");
  const auto file = written("page", "new");
  EXPECT_TRUE(must(file->publish()));
  EXPECT_EQ(dir_.read("page"), "new");
  EXPECT_EQ(dir_.read(file->unfinishedName()), "old");
  file->discardOld();
  EXPECT_EQ(names(), Names{"page"});
}

TEST_F(UploadFileTest, WhatWasPublishedCanBeTakenBack) {
  dir_.write("old", "old");
  for (const char* name : {"old", "new"}) {
    const auto file = written(name, "text");
    must(file->publish());
    ASSERT_TRUE(file->takeBack()) << name;
    EXPECT_FALSE(file->isPublished());
    EXPECT_TRUE(file->wasTakenBack());
    EXPECT_FALSE(file->isStillSo());
  }
  EXPECT_EQ(dir_.read("old"), "old");
  EXPECT_EQ(names(), Names{"old"});
}

TEST_F(UploadFileTest, ADeletionCanBeTakenBack) {
  dir_.write("page", "old");
  const auto file = fileAt("page");
  must(file->findVictim());
  must(file->remove());
  EXPECT_FALSE(fs::exists(dir_ / "page"));
  EXPECT_TRUE(file->isStillSo());
  ASSERT_TRUE(file->takeBack());
  EXPECT_EQ(dir_.read("page"), "old");
  EXPECT_EQ(names(), Names{"page"});
}

TEST_F(UploadFileTest, ADeletionLeavesNothing) {
  dir_.write("page", "old");
  {
    const auto file = fileAt("page");
    must(file->findVictim());
    must(file->remove());
  }
  EXPECT_EQ(names(), Names{});
}

TEST_F(UploadFileTest, AFolderThatHasTheNameByNowKeepsIt) {
  const auto file = written("page", "new");
  fs::create_directory(dir_ / "page");
  EXPECT_EQ(file->publish().error().code, ErrorCode::kExists);
  EXPECT_TRUE(fs::is_directory(dir_ / "page"));
}

TEST_F(UploadFileTest, AFileThatCameMeanwhileIsReplaced) {
  const auto file = written("page", "new");
  dir_.write("page", "meanwhile");
  EXPECT_TRUE(must(file->publish()));
  EXPECT_EQ(dir_.read("page"), "new");
}

TEST_F(UploadFileTest, SomebodyElsesFileIsNotOurs) {
  const auto file = written("page", "new");
  must(file->publish());
  fs::remove(dir_ / "page");
  dir_.write("page", "new");
  EXPECT_FALSE(file->isStillSo());
}

TEST_F(UploadFileTest, TwoOfOneGroupAreTakenBackTheLastFirst) {
  dir_.write("page", "old");
  const auto first = written("page", "first");
  const auto second = written("page", "second");
  must(first->publish());
  must(second->publish());
  ASSERT_TRUE(second->takeBack());
  EXPECT_EQ(dir_.read("page"), "first");
  ASSERT_TRUE(first->takeBack());
  EXPECT_EQ(dir_.read("page"), "old");
}

TEST_F(UploadFileTest, AGroupThatIsOnTheDiskKeepsNoOldContent) {
  dir_.write("page", "old");
  const auto first = written("page", "first");
  const auto second = written("page", "second");
  const auto other = written("other", "text");
  FolderSync sync;
  for (const auto& file : {first, second, other}) {
    must(file->publish());
    sync.add(file);
  }
  must(sync.sync());
  EXPECT_EQ(dir_.read("page"), "second");
  EXPECT_EQ(names(), (Names{"other", "page"}));
  EXPECT_FALSE(first->syncHasFailed());
}

}  // namespace
}  // namespace egalaxyd
