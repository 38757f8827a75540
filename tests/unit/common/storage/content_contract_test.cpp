// What every storage that holds the content of uploads does with it; others refuse to.
#include <gtest/gtest.h>

#include "common/base/sha256.h"
#include "tests/unit/common/storage/storage_engines.h"

namespace egalaxyd {
namespace {

class ContentContract : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    if (!storage_->holdsContent()) GTEST_SKIP() << "holds no content of uploads";
  }

  std::int64_t announced(const std::string& path, const std::string& content) {
    UploadRecord record;
    record.time = now_;
    record.host = "h";
    record.path = path;
    record.size = content.size();
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    return must(storage_->announceUpload(record));
  }

  /// All but the last part goes before, as of an upload that is large.
  NewContent sent(const std::string& content) {
    NewContent made;
    std::string_view left = content;
    for (; left.size() > kContentPart; left.remove_prefix(kContentPart)) {
      made.content =
          must(storage_->appendContent(made.content, left.substr(0, kContentPart), now_));
    }
    made.rest = left;
    return made;
  }

  std::int64_t brought(const std::string& path, const std::string& content) {
    return must(atomically(*storage_, Access::kWrite, [&]() -> Result<std::int64_t> {
      const auto before = must(storage_->latestUpload("h", path));
      const std::int64_t pending = announced(path, content);
      if (!content.empty()) must(storage_->bringContent(pending, sent(content), now_));
      const auto outcome = content.empty() ? UploadOutcome::kDeleted
                           : before        ? UploadOutcome::kReplaced
                                           : UploadOutcome::kStored;
      return storage_->settleUpload(pending, outcome, before ? before->sha256 : "");
    }));
  }

  /// And keeps a version of what it replaces.
  std::int64_t broughtAndKept(const std::string& path, const std::string& content) {
    const auto before = *must(storage_->latestUpload("h", path));
    const std::int64_t pending = announced(path, content);
    OldContent old;
    old.sha256 = before.sha256;
    old.size = before.size;
    old.written = before.time;
    must(storage_->keepVersion(pending, old, now_));
    must(storage_->bringContent(pending, sent(content), now_));
    return must(storage_->settleUpload(pending, UploadOutcome::kReplaced, before.sha256));
  }

  std::string read(std::int64_t content) {
    std::string all;
    for (std::uint64_t part = 0;; ++part) {
      const std::string bytes = must(storage_->readContent(content, part));
      if (bytes.empty()) return all;
      all += bytes;
    }
  }

  /// nullopt: none is held.
  std::optional<std::string> content(std::int64_t upload) {
    const auto held = must(storage_->contentOf(upload));
    if (!held) return std::nullopt;
    return read(*held);
  }

  std::uint64_t swept() { return must(storage_->sweepContents({}, 1000)); }

  TempDir dir_;
  WallTime now_ = at(1'000'000);
  std::unique_ptr<Storage> storage_ = GetParam().make(dir_, {});
};

INSTANTIATE_TEST_SUITE_P(Every, ContentContract, testing::ValuesIn(kEngines),
                         [](const auto& engine) { return std::string(engine.param.name); });

TEST_P(ContentContract, HoldsWhatAnUploadBrought) {
  const auto first = brought("/a", "one");
  EXPECT_EQ(content(first), "one");
  EXPECT_EQ(swept(), 0u);
}

TEST_P(ContentContract, HoldsContentOfManyParts) {
  const std::string large = std::string(2 * kContentPart, 'x') + "y";
  EXPECT_EQ(content(brought("/large", large)), large);
  const std::string even(2 * kContentPart, 'z');
  EXPECT_EQ(content(brought("/even", even)), even);
}

TEST_P(ContentContract, LosesWhatWasReplaced) {
  const auto first = brought("/a", "one");
  const auto second = brought("/a", "two");
  EXPECT_EQ(content(first), std::nullopt);
  EXPECT_EQ(content(second), "two");
  swept();
  EXPECT_EQ(content(second), "two");
}

TEST_P(ContentContract, LosesWhatWasDeleted) {
  const auto first = brought("/a", "one");
  const auto deletion = brought("/a", "");
  EXPECT_EQ(content(first), std::nullopt);
  EXPECT_EQ(content(deletion), std::nullopt);
}

TEST_P(ContentContract, HoldsTheSameContentOfSeveralFiles) {
  const auto a = brought("/a", "same");
  const auto b = brought("/b", "same");
  brought("/a", "other");
  swept();
  EXPECT_EQ(content(a), std::nullopt);
  EXPECT_EQ(content(b), "same");
}

TEST_P(ContentContract, HoldsTheSameContentBroughtAgain) {
  brought("/a", "same");
  const auto again = brought("/a", "same");
  swept();
  EXPECT_EQ(content(again), "same");
}

TEST_P(ContentContract, KeepsAVersionWithoutBeingGivenItAgain) {
  const auto first = brought("/a", "one");
  const auto second = broughtAndKept("/a", "two");
  swept();
  const auto version = must(storage_->findVersion(first));
  ASSERT_TRUE(version);
  EXPECT_EQ(read(version->content), "one");
  EXPECT_EQ(version->replacedBy, second);
  EXPECT_EQ(content(second), "two");
}

TEST_P(ContentContract, LeavesNothingOfAnUploadThatWasRolledBack) {
  const auto first = brought("/a", "one");
  must(storage_->begin(Access::kWrite));
  const std::int64_t pending = announced("/a", "two");
  must(storage_->bringContent(pending, {0, "two"}, now_));
  storage_->rollback();
  EXPECT_EQ(content(first), "one");
  EXPECT_EQ(must(storage_->latestUpload("h", "/a"))->id, first);
}

TEST_P(ContentContract, KnowsNoContentOfAnUploadThatIsNotAnnounced) {
  EXPECT_EQ(storage_->bringContent(77, {0, "x"}, now_).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace egalaxyd
