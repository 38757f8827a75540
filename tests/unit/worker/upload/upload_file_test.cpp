#include "worker/upload/upload_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

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
  UploadPlace placeAt(const std::string& name) {
    UploadPlace place;
    place.root = std::make_shared<const SiteRoot>(must(SiteRoot::openAt(dir_.path(), symlinks_)));
    place.relative = name;
    place.neverServed = std::make_shared<const PrivateFiles>();
    place.createFolders = createFolders_;
    place.mode = mode_;
    return place;
  }
  std::shared_ptr<UploadFile> fileAt(const std::string& name) {
    return std::make_shared<UploadFile>(placeAt(name));
  }
  void removeFile(const std::string& name) {
    const auto file = fileAt(name);
    must(file->findExisting());
    must(file->remove());
    file->discardOld();
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
  SymlinkPolicy symlinks_ = SymlinkPolicy::kDeny;
  bool createFolders_ = false;
  std::uint32_t mode_ = 0;
};

class FoldersOfUploads : public UploadFileTest {
 protected:
  FoldersOfUploads() { createFolders_ = true; }
};

TEST_F(UploadFileTest, WhatCameForARootThatWasReplacedMeanwhileIsRefused) {
  const fs::path root = dir_.makeDir("root");
  dir_.write("root/old", "old");
  const auto place = [&](const std::string& name) {
    UploadPlace at = placeAt(name);
    at.root = std::make_shared<const SiteRoot>(must(SiteRoot::openAt(root, symlinks_)));
    return at;
  };
  UploadFile change(place("page"));
  must(change.append("text"));
  must(change.finish());
  UploadFile deletion(place("old"));
  must(deletion.findExisting());
  fs::rename(root, dir_ / "before");
  EXPECT_EQ(change.publish().error().code, ErrorCode::kBusy) << "gone";
  dir_.makeDir("root");
  EXPECT_EQ(change.publish().error().code, ErrorCode::kBusy);
  EXPECT_EQ(deletion.remove().error().code, ErrorCode::kBusy);
  EXPECT_TRUE(fs::exists(dir_ / "before/old"));
  EXPECT_FALSE(fs::exists(dir_ / "before/page"));
}

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

TEST_F(UploadFileTest, AReplacedFileKeepsItsModeWhateverTheUmask) {
  const mode_t before = ::umask(077);
  for (const mode_t mode : {0666U, 0640U, 0400U, 0755U}) {
    dir_.write("page", "old");
    fs::permissions(dir_ / "page", static_cast<fs::perms>(mode));
    must(written("page", "new")->publish());
    EXPECT_EQ(fs::status(dir_ / "page").permissions(), static_cast<fs::perms>(mode));
    fs::remove(dir_ / "page");
  }
  EXPECT_EQ(::umask(before), 077U);
}

TEST_F(UploadFileTest, ANewFileMayBeEditedByWhoeverMayWriteToItsFolder) {
  const mode_t before = ::umask(077);
  for (const auto& [folder, file] : {std::pair{0755U, 0644U}, {0775U, 0664U}, {0700U, 0600U}}) {
    fs::permissions(dir_.path(), static_cast<fs::perms>(folder));
    must(written("new", "new")->publish());
    EXPECT_EQ(fs::status(dir_ / "new").permissions(), static_cast<fs::perms>(file));
    fs::remove(dir_ / "new");
  }
  ::umask(before);
}

TEST_F(UploadFileTest, ANewFileHasTheModeThatIsAskedFor) {
  mode_ = 0640;
  must(written("new", "new")->publish());
  EXPECT_EQ(fs::status(dir_ / "new").permissions(), static_cast<fs::perms>(0640));
}

TEST_F(UploadFileTest, NewFoldersAreLikeTheOneAroundThem) {
  createFolders_ = true;
  fs::permissions(dir_.path(), static_cast<fs::perms>(02775));
  must(written("a/b/new", "new")->publish());
  EXPECT_EQ(fs::status(dir_ / "a/b").permissions(), static_cast<fs::perms>(02775));
  EXPECT_EQ(fs::status(dir_ / "a/b/new").permissions(), static_cast<fs::perms>(0664));
}

TEST_F(UploadFileTest, AFileWhoseModeIsChangedMeanwhileIsNotReplaced) {
  dir_.write("page", "old");
  const auto file = fileAt("page");
  must(file->append("new"));
  fs::permissions(dir_ / "page", fs::perms::owner_read);
  EXPECT_EQ(file->finish().error().code, ErrorCode::kBusy);
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
  must(file->findExisting());
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
    must(file->findExisting());
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

TEST_F(UploadFileTest, NobodyElsesFileIsReplaced) {
  dir_.write("page", "theirs");
  const auto late = fileAt("page");
  late->setMayReplace(false);
  EXPECT_EQ(late->append("x").error().code, ErrorCode::kExists);
  EXPECT_TRUE(late->hasOld());
  const auto gone = fileAt("page");
  gone->setMayReplace(false);
  EXPECT_EQ(gone->findExisting().error().code, ErrorCode::kExists);
  fs::remove(dir_ / "page");
  const auto file = fileAt("page");
  file->setMayReplace(false);
  must(file->append("mine"));
  must(file->finish());
  dir_.write("page", "theirs");
  EXPECT_EQ(file->publish().error().code, ErrorCode::kExists);
  EXPECT_EQ(dir_.read("page"), "theirs");
}

TEST_F(UploadFileTest, PiecesStandInTheOrderInWhichTheyCame) {
  const auto file = fileAt("page");
  for (const char* piece : {"one ", "", "two ", "three"}) must(file->append(piece));
  must(file->finish());
  must(file->publish());
  EXPECT_EQ(dir_.read("page"), "one two three");
}

TEST_F(UploadFileTest, NamesThatNoUploadMayHaveAreRefused) {
  dir_.makeDir("folder");
  for (const std::string& name : {std::string(), std::string("folder/"),
                                  std::string(kUnfinishedPrefix) + "x", std::string(256, 'x')}) {
    EXPECT_EQ(fileAt(name)->append("x").error().code, ErrorCode::kInvalid) << name;
    EXPECT_EQ(fileAt(name)->findExisting().error().code, ErrorCode::kInvalid) << name;
  }
  must(written(std::string(255, 'x'), "x")->publish());
}

TEST_F(UploadFileTest, WhatIsNoRegularFileIsNeitherReplacedNorRemoved) {
  dir_.makeDir("folder");
  dir_.write("target", "text");
  fs::create_symlink("target", dir_ / "link");
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  const Names before = names();
  for (const char* name : {"folder", "link", "pipe"}) {
    EXPECT_EQ(fileAt(name)->append("x").error().code, ErrorCode::kExists) << name;
    EXPECT_EQ(fileAt(name)->findExisting().error().code, ErrorCode::kExists) << name;
  }
  EXPECT_EQ(names(), before);
  EXPECT_EQ(dir_.read("target"), "text");
}

TEST_F(UploadFileTest, AFolderThatIsMissingOrNoneIsToldApart) {
  dir_.write("file", "text");
  EXPECT_EQ(fileAt("missing/page")->append("x").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(fileAt("file/page")->append("x"));
  EXPECT_EQ(fileAt("page")->findExisting().error().code, ErrorCode::kNotFound);
}

TEST_F(UploadFileTest, AKeyIsNeitherReplacedNorRemoved) {
  dir_.write("key", "secret");
  UploadPlace place = placeAt("key");
  auto keys = std::make_shared<PrivateFiles>();
  keys->add(dir_ / "key");
  place.neverServed = keys;
  EXPECT_EQ(UploadFile(place).append("x").error().code, ErrorCode::kPermission);
  EXPECT_EQ(UploadFile(place).findExisting().error().code, ErrorCode::kPermission);
  EXPECT_EQ(dir_.read("key"), "secret");
}

TEST_F(UploadFileTest, TheServersOwnFilesAreNeitherMadeNorReplacedNorRemoved) {
  Config config;
  config.file = dir_.write("egalaxyd.toml", "ours");
  config.log.target = dir_ / "egalaxyd.log";
  config.server.stateDir = dir_ / "a/state";
  config.server.runtimeDir = dir_.makeDir("run");
  config.tls.certificate = dir_.write("site.crt", "ours");
  createFolders_ = true;
  const auto own = std::make_shared<const PrivateFiles>(PrivateFiles::of(config));
  for (const char* name :
       {"egalaxyd.toml", "site.crt", "egalaxyd.log", "egalaxyd.log.1", "egalaxyd.toml/page",
        "run/page", "a/state/db/egalaxyd.db", "a/state", "run/new/page"}) {
    UploadPlace place = placeAt(name);
    place.neverServed = own;
    EXPECT_FALSE(UploadFile(place).append("x")) << name;
    EXPECT_FALSE(UploadFile(place).findExisting()) << name;
  }
  EXPECT_EQ(dir_.read("egalaxyd.toml"), "ours");
  EXPECT_EQ(dir_.read("site.crt"), "ours");
  EXPECT_EQ(names(), (Names{"egalaxyd.toml", "run", "site.crt"}));
}

TEST_F(UploadFileTest, TheSumOfTheOldContentIsItsOwn) {
  dir_.write("page", "old");
  const auto file = fileAt("page");
  must(file->findExisting());
  EXPECT_EQ(file->oldSha256(), "");
  must(file->sumOld());
  EXPECT_EQ(file->oldSha256(), "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4");
  fs::remove(dir_ / "page");
  const auto gone = written("page", "new");
  must(gone->sumOld());
  EXPECT_EQ(gone->oldSha256(), "");
}

TEST_F(UploadFileTest, AnUploadThatEndsHalfWayLeavesWhatWasThere) {
  dir_.write("page", "old");
  { must(fileAt("page")->append("half of the n")); }
  { const auto file = written("page", "new"); }
  EXPECT_EQ(dir_.read("page"), "old");
  EXPECT_EQ(names(), Names{"page"});
}

TEST_F(UploadFileTest, ADiskKeepsWhatIsToStayFree) {
  UploadPlace place = placeAt("page");
  place.minFree = {0, 100};
  UploadFile full(place);
  EXPECT_EQ(full.append("x").error().code, ErrorCode::kNoSpace);
  place.minFree = {std::uint64_t{1} << 62, 0};
  EXPECT_EQ(UploadFile(place).append("x").error().code, ErrorCode::kNoSpace);
  place.minFree = {1, 0};
  place.size = std::uint64_t{1} << 62;
  EXPECT_EQ(UploadFile(place).append("x").error().code, ErrorCode::kNoSpace) << "what is announced";
  EXPECT_EQ(names(), Names{});
}

TEST_F(FoldersOfUploads, AreMadeForAFileAndGoWithIt) {
  must(written("a/b/c/page", "text")->publish());
  EXPECT_EQ(dir_.read("a/b/c/page"), "text");
  removeFile("a/b/c/page");
  EXPECT_EQ(names(), Names{});
}

TEST_F(FoldersOfUploads, GoWithAnUploadThatFails) {
  dir_.makeDir("a");
  { const auto file = written("a/b/c/page", "text"); }
  EXPECT_EQ(names(), Names{"a"});
  EXPECT_TRUE(fs::is_empty(dir_ / "a"));
}

TEST_F(FoldersOfUploads, AreNotManyAtOnce) {
  UploadPlace place = placeAt("1/2/3/page");
  place.newFolders = 2;
  UploadFile file(place);
  EXPECT_EQ(file.append("x").error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(file.wantsTooManyFolders());
  EXPECT_EQ(names(), Names{});
  dir_.makeDir("1");
  UploadFile second(place);
  must(second.append("x"));
  EXPECT_TRUE(fs::is_directory(dir_ / "1/2/3"));
}

TEST_F(FoldersOfUploads, AreNotMadeForADeletion) {
  const auto file = fileAt("a/b/page");
  EXPECT_EQ(file->findExisting().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(names(), Names{});
}

TEST_F(FoldersOfUploads, WithAnythingInThemStay) {
  dir_.write("a/other", "x");
  must(written("a/b/page", "text")->publish());
  removeFile("a/b/page");
  EXPECT_FALSE(fs::exists(dir_ / "a/b"));
  EXPECT_TRUE(fs::exists(dir_ / "a/other"));
}

TEST_F(FoldersOfUploads, ThatUploadsDoNotMakeStay) {
  dir_.write("a/page", "x");
  createFolders_ = false;
  removeFile("a/page");
  EXPECT_EQ(names(), Names{"a"});
  createFolders_ = true;
  dir_.write("a/b/page", "x");
  UploadPlace place = placeAt("a/b/page");
  place.depth = 1;
  UploadFile file(place);
  must(file.findExisting());
  must(file.remove());
  file.discardOld();
  EXPECT_TRUE(fs::exists(dir_ / "a/b")) << "no upload could have made it";
}

TEST_F(FoldersOfUploads, BehindALinkStay) {
  symlinks_ = SymlinkPolicy::kFollow;
  const TempDir outside;
  outside.write("in/page", "x");
  fs::create_symlink(outside.path(), dir_ / "link");
  removeFile("link/in/page");
  EXPECT_TRUE(fs::is_directory(outside / "in"));
  EXPECT_EQ(names(), Names{"link"});
}

TEST_F(FoldersOfUploads, ThatADeletionTookFromUnderAnUploadAreMadeAnew) {
  must(written("a/b/old", "old")->publish());
  const auto file = written("a/b/page", "text");
  removeFile("a/b/old");
  ASSERT_FALSE(fs::exists(dir_ / "a"));
  EXPECT_FALSE(must(file->publish()));
  EXPECT_EQ(dir_.read("a/b/page"), "text");
  EXPECT_TRUE(file->isStillSo());
}

TEST_F(FoldersOfUploads, AnUploadBeforeItsFirstByteIsNotInTheirWay) {
  must(written("a/b/old", "old")->publish());
  const auto file = fileAt("a/b/page");
  removeFile("a/b/old");
  must(file->append("text"));
  must(file->finish());
  must(file->publish());
  EXPECT_EQ(dir_.read("a/b/page"), "text");
}

TEST_F(FoldersOfUploads, OfADeletionStayGoneForItsRecordUntilTheFileIsThereAgain) {
  must(written("a/page", "old")->publish());
  const auto deletion = fileAt("a/page");
  must(deletion->findExisting());
  must(deletion->remove());
  deletion->discardOld();
  EXPECT_TRUE(deletion->isStillSo());
  must(written("a/page", "new")->publish());
  EXPECT_FALSE(deletion->isStillSo());
}

TEST_F(UploadFileTest, CopiesOfALaterUploadStayWhateverTheOrder) {
  const auto first = written("a", "one");
  const auto second = written("a", "two");
  EXPECT_TRUE(must(second->publishCopy(2)));
  EXPECT_FALSE(must(first->publishCopy(1)));
  EXPECT_EQ(dir_.read("a"), "two");
  EXPECT_FALSE(must(fileAt("a")->removeCopy(2)));
  EXPECT_TRUE(must(fileAt("a")->removeCopy(3)));
  EXPECT_FALSE(must(fileAt("a")->removeCopy(3))) << "there is none";
  EXPECT_EQ(names(), Names{});
}

TEST_F(UploadFileTest, ACopyReplacesAFileThatIsNone) {
  dir_.write("a", "by hand");
  EXPECT_TRUE(must(written("a", "copy")->publishCopy(1)));
  EXPECT_EQ(dir_.read("a"), "copy");
  EXPECT_EQ(names(), Names{"a"});
}

TEST_F(UploadFileTest, ACopyThatIsRemovedTakesTheFoldersThatItEmpties) {
  createFolders_ = true;
  EXPECT_TRUE(must(written("x/y/a", "copy")->publishCopy(1)));
  EXPECT_TRUE(must(fileAt("x/y/a")->removeCopy(2)));
  EXPECT_EQ(names(), Names{});
}

TEST_F(UploadFileTest, ACopyMakesItsFolderAnewWhereADeletionHasRemovedIt) {
  createFolders_ = true;
  const auto copy = written("x/a", "copy");
  fs::remove(dir_ / "x");
  EXPECT_TRUE(must(copy->publishCopy(1)));
  EXPECT_EQ(dir_.read("x/a"), "copy");
}

TEST_F(UploadFileTest, ACopyDoesNotReplaceAFolder) {
  const auto copy = written("a", "copy");
  fs::create_directory(dir_ / "a");
  EXPECT_EQ(copy->publishCopy(1).error().code, ErrorCode::kExists);
}

TEST_F(UploadFileTest, WhatWasAppendedCanBeReadBack) {
  const auto file = written("a", "0123456789");
  EXPECT_EQ(must(file->read(3, 4)), "3456");
  EXPECT_EQ(must(file->read(8, 4)), "89");
  EXPECT_EQ(must(file->read(10, 4)), "");
}

}  // namespace
}  // namespace egalaxyd
