#include "worker/dynamic/request_spool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

class RequestSpool : public testing::Test {
 protected:
  /// Begins to receive; the result is in `got_` when it is there.
  void begin(FreeFloor floor = {}) {
    harness_.services().tasks.start(receive({dir_.path(), "1-1", floor}));
  }
  Task<void> receive(SpoolPlace place) {
    got_.emplace(co_await spool(body_, std::move(place), harness_.pool()));
  }
  void give(std::string bytes) {
    harness_.turnUntil([&] { return body_->isWanted() || got_; });
    if (body_->isWanted()) body_->give(std::move(bytes));
  }
  void awaitResult() {
    harness_.turnUntil([&] { return got_.has_value(); });
  }
  bool exists() const { return std::filesystem::exists(dir_ / "1-1"); }

  TempDir dir_;
  SiteHarness harness_;
  std::shared_ptr<RequestBody> body_ = std::make_shared<RequestBody>(8, [] {});
  std::optional<Result<SpooledBody>> got_;
};

TEST_F(RequestSpool, KeepsTheBodyInAFileThatScriptsCanRead) {
  begin();
  give("four");
  give("more");
  give("");
  awaitResult();
  ASSERT_TRUE(*got_);
  EXPECT_EQ((*got_)->name(), "1-1");
  EXPECT_EQ((*got_)->size(), 8U);
  EXPECT_EQ(dir_.read("1-1"), "fourmore");
  struct stat status {};
  ASSERT_EQ(::fstat((*got_)->fd(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644U);
}

TEST_F(RequestSpool, TakesTheNameAwayAtTheEnd) {
  begin();
  give("");
  awaitResult();
  ASSERT_TRUE(exists());
  SpooledBody moved = std::move(**got_);
  got_.reset();
  EXPECT_TRUE(exists());
  moved = {};
  EXPECT_FALSE(exists());
}

TEST_F(RequestSpool, KeepsNothingOfABodyThatBreaksOff) {
  begin();
  give("four");
  harness_.turnUntil([&] { return body_->isWanted(); });
  body_->end({ErrorCode::kIo, "the client left"});
  awaitResult();
  ASSERT_FALSE(*got_);
  EXPECT_EQ(got_->error().code, ErrorCode::kIo);
  EXPECT_FALSE(exists());
}

TEST_F(RequestSpool, TakesNoFileThatIsThere) {
  dir_.write("1-1", "another's");
  begin();
  awaitResult();
  ASSERT_FALSE(*got_);
  EXPECT_EQ(got_->error().code, ErrorCode::kPermission);
  EXPECT_EQ(dir_.read("1-1"), "another's");
}

TEST_F(RequestSpool, LeavesTheDiskItsFreeSpace) {
  begin({.bytes = std::uint64_t{1} << 60, .percent = 0});
  give("four");
  awaitResult();
  ASSERT_FALSE(*got_);
  EXPECT_EQ(got_->error().code, ErrorCode::kNoSpace);
  EXPECT_FALSE(exists());
}

}  // namespace
}  // namespace egalaxyd
