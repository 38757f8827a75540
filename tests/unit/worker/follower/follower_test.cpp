#include "worker/follower/follower.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

#include "common/base/unique_fd.h"
#include "common/cluster/own_sight.h"
#include "common/content/upload_mark.h"
#include "tests/support/deadline.h"
#include "tests/support/fake_database.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class FollowerTest : public testing::Test {
 protected:
  FollowerTest() {
    fs::create_directory(dir_ / "files");
    DirectoryArgs args;
    args.root = dir_ / "files";
    args.upload.emplace();
    args.upload->createDirectories = true;
    SiteConfig site;
    site.host = "h";
    site.mounts.push_back({.path = "/up", .where = "", .args = args});
    config_.sites.push_back(site);
  }

  void start() {
    FollowerOptions options;
    options.lock = dir_ / "follower.lock";
    options.host.name = "one";
    options.reportEvery = options.retryAfter = options.soon = options.later = milliseconds(5);
    follower_ = std::make_unique<Follower>(config_, database_.link(), sight_, options);
  }

  fs::path file(const std::string& name) const { return dir_ / "files" / name; }
  std::string content(const std::string& name) const {
    std::ifstream in(file(name));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::int64_t mark(const std::string& name) const {
    return uploadOf(UniqueFd(::open(file(name).c_str(), O_RDONLY | O_CLOEXEC)).get());
  }
  template <class IsSo>
  void waitUntil(IsSo isSo) {
    const Deadline deadline;
    while (!isSo()) {
      ASSERT_FALSE(deadline.passed()) << "what the test waits for does not come";
      std::this_thread::yield();
    }
  }
  void waitForMark(const std::string& name, std::int64_t upload) {
    waitUntil([&] { return mark(name) == upload; });
  }

  TempDir dir_;
  Config config_;
  FakeDatabase database_;
  OwnSight sight_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(FollowerTest, BringsWhatIsThereAtItsStartAndWhatComes) {
  const std::string large = std::string(3 * kContentPart, 'x') + "y";
  const auto first = database_.put("h", "/up/a", large);
  start();
  waitForMark("a", first);
  EXPECT_EQ(content("a"), large);
  const auto second = database_.put("h", "/up/deep/down/b", "two");
  waitForMark("deep/down/b", second);
  EXPECT_EQ(content("deep/down/b"), "two");
  const auto third = database_.put("h", "/up/a", "new");
  waitForMark("a", third);
  EXPECT_EQ(content("a"), "new");
}

TEST_F(FollowerTest, RemovesWhatWasDeletedWithTheFoldersThatItEmpties) {
  const auto stored = database_.put("h", "/up/x/a", "one");
  start();
  waitForMark("x/a", stored);
  database_.put("h", "/up/x/a", "");
  waitUntil([&] { return !fs::exists(file("x")); });
}

TEST_F(FollowerTest, RemovesWhatWasDeletedWhileNobodyFollowed) {
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitForMark("a", stored);
  follower_.reset();
  database_.put("h", "/up/a", "");
  start();
  waitUntil([&] { return !fs::exists(file("a")); });
}

TEST_F(FollowerTest, RemovesAFileThatAnUploadPutsInPlaceAfterItsDeletion) {
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitForMark("a", stored);
  fs::rename(file("a"), dir_ / "late");
  database_.put("h", "/up/a", "");
  const auto sign = database_.put("h", "/up/sign", "deletions come first");
  waitForMark("sign", sign);
  fs::rename(dir_ / "late", file("a"));
  waitUntil([&] { return !fs::exists(file("a")); });
}

TEST_F(FollowerTest, MarksAFileThatIsWhatTheDatabaseHas) {
  std::ofstream(file("a")) << "one";
  const auto before = fs::last_write_time(file("a"));
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitForMark("a", stored);
  EXPECT_EQ(fs::last_write_time(file("a")), before);
}

TEST_F(FollowerTest, ReplacesAFileThatIsNotWhatTheDatabaseHas) {
  std::ofstream(file("a")) << "by hand";
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitForMark("a", stored);
  EXPECT_EQ(content("a"), "one");
}

TEST_F(FollowerTest, LeavesAloneWhatTheDatabaseDoesNotKnowAndWhatIsNotHere) {
  std::ofstream(file("mine")) << "by hand";
  database_.put("elsewhere", "/up/mine", "not this");
  database_.put("h", "/other/mine", "nor this");
  const auto last = database_.put("h", "/up/z", "z");
  start();
  waitForMark("z", last);
  EXPECT_EQ(content("mine"), "by hand");
  EXPECT_EQ(follower_->lag(), 0u);
}

TEST_F(FollowerTest, LeavesWhatALaterUploadOfThisHostHasBrought) {
  const auto stored = database_.put("h", "/up/a", "one");
  std::ofstream(file("a")) << "later";
  ASSERT_TRUE(
      markUpload(UniqueFd(::open(file("a").c_str(), O_RDWR | O_CLOEXEC)).get(), stored + 5));
  const auto last = database_.put("h", "/up/z", "z");
  start();
  waitForMark("z", last);
  EXPECT_EQ(content("a"), "later");
}

TEST_F(FollowerTest, ComparesAnewAfterEachConnection) {
  start();
  waitUntil([&] { return database_.compared == 1 && follower_->hasLooked(); });
  database_.goAway(true);
  const auto stored = database_.put("h", "/up/a", "one");
  database_.goAway(false);
  waitForMark("a", stored);
  waitUntil([&] { return database_.compared == 2; });
}

TEST_F(FollowerTest, GoesOnWhereOneFileCannotBePutInPlaceAndTriesItAgain) {
  fs::create_directories(file("a/b"));
  const auto stored = database_.put("h", "/up/a", "one");
  const auto other = database_.put("h", "/up/z", "z");
  start();
  waitForMark("z", other);
  waitUntil([&] { return follower_->lag() == 1; });
  waitUntil([&] { return database_.host().lag == 1; });
  fs::remove_all(file("a"));
  waitForMark("a", stored);
  waitUntil([&] { return follower_->lag() == 0; });
}

TEST_F(FollowerTest, PutsNothingInPlaceOfWhichTheContentIsGone) {
  database_.spoilContent(true);
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitUntil([&] { return follower_->lag() == 1; });
  EXPECT_FALSE(fs::exists(file("a")));
  database_.spoilContent(false);
  waitForMark("a", stored);
}

TEST_F(FollowerTest, RemovesWhatADeadProcessLeftUnfinished) {
  std::ofstream(file(".egalaxyd-0123456789abcdef-0")) << "half";
  const auto stored = database_.put("h", "/up/a", "one");
  start();
  waitForMark("a", stored);
  waitUntil([&] { return !fs::exists(file(".egalaxyd-0123456789abcdef-0")); });
}

TEST_F(FollowerTest, FollowsOnceTheOtherOfThisHostHasEnded) {
  start();
  waitUntil([&] { return database_.compared == 1; });
  auto first = std::move(follower_);
  start();
  waitUntil([&] { return follower_->hasLooked(); });
  EXPECT_EQ(database_.compared, 1);
  first->stop();
  waitUntil([&] { return database_.compared == 2; });
}

TEST_F(FollowerTest, ReportsItsHost) {
  start();
  waitUntil([&] { return database_.reported >= 2; });
  EXPECT_EQ(database_.host().name, "one");
}

TEST_F(FollowerTest, ResetsTheHostsConnectionsWhereItsRowCannotBeWritten) {
  start();
  waitUntil([&] { return database_.reported >= 1; });
  database_.goAway(true);
  waitUntil([&] { return sight_.resets() > 0; });
}

TEST_F(FollowerTest, HasLookedWhereTheDatabaseIsAway) {
  database_.goAway(true);
  start();
  waitUntil([&] { return follower_->hasLooked(); });
}

}  // namespace
}  // namespace egalaxyd
