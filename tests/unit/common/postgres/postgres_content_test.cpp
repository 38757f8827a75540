// Content of uploads that the database holds.
#include <gtest/gtest.h>

#include "common/base/sha256.h"
#include "tests/unit/common/storage/storage_engines.h"

namespace egalaxyd {
namespace {

class PostgresContent : public testing::Test {
 protected:
  std::int64_t announced(const std::string& path, const std::string& content) {
    UploadRecord record = stored(path, content.size());
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    return must(storage_->announceUpload(record));
  }
  /// As the upload sites do it, as one transaction.
  std::int64_t put(const std::string& path, const std::string& content,
                   const std::string& before = "", bool keeps = false) {
    std::int64_t id = 0;
    must(atomically(*storage_, Access::kWrite, [&]() -> Result<void> {
      const std::int64_t pending = announced(path, content);
      if (keeps) {
        OldContent old;
        old.sha256 = sha256Hex(before);
        old.size = before.size();
        must(storage_->keepVersion(pending, old, at(5)));
      }
      if (!content.empty()) must(storage_->bringContent(pending, {0, content}, at(5)));
      id = must(storage_->settleUpload(
          pending, content.empty() ? UploadOutcome::kDeleted : UploadOutcome::kStored, ""));
      return {};
    }));
    return id;
  }
  std::optional<std::string> content(std::int64_t upload) {
    const auto id = must(storage_->contentOf(upload));
    if (!id) return std::nullopt;
    std::string all;
    for (std::uint64_t part = 0;; ++part) {
      const std::string bytes = must(storage_->readContent(*id, part));
      if (bytes.empty()) return all;
      all += bytes;
    }
  }
  std::uint64_t swept() { return must(storage_->sweepContents({}, 1000)); }

  std::unique_ptr<Storage> storage_ = freshPostgres();
};

TEST_F(PostgresContent, IsWhatTheLatestUploadBrought) {
  const auto first = put("/a", "one");
  EXPECT_EQ(content(first), "one");
  const auto second = put("/a", "two");
  EXPECT_EQ(content(first), std::nullopt);
  EXPECT_EQ(content(second), "two");
  EXPECT_EQ(swept(), 1u);
  const auto deletion = put("/a", "");
  EXPECT_EQ(content(second), std::nullopt);
  EXPECT_EQ(content(deletion), std::nullopt);
  EXPECT_EQ(swept(), 1u);
}

TEST_F(PostgresContent, IsThereOnceHoweverManyHaveIt) {
  const auto a = put("/a", "same");
  const auto b = put("/b", "same");
  EXPECT_EQ(must(storage_->contentOf(a)), must(storage_->contentOf(b)));
  put("/a", "same");
  put("/a", "");
  EXPECT_EQ(swept(), 0u);
  EXPECT_EQ(content(b), "same");
  put("/b", "other");
  EXPECT_EQ(swept(), 1u);
}

TEST_F(PostgresContent, StaysAsAVersionOfWhatReplacedIt) {
  const auto first = put("/a", "one");
  put("/a", "two", "one", true);
  EXPECT_EQ(swept(), 0u);
  const auto version = must(storage_->findVersion(first));
  ASSERT_TRUE(version);
  EXPECT_EQ(must(storage_->readContent(version->content, 0)), "one");
}

TEST_F(PostgresContent, ComesInPartsAndInTheEndWithItsRest) {
  const std::string part(kContentPart, 'p');
  const auto id = must(storage_->appendContent(0, part, at(5)));
  must(storage_->appendContent(id, part, at(5)));
  const auto pending = announced("/a", part + part + "rest");
  must(storage_->bringContent(pending, {id, "rest"}, at(5)));
  const auto upload = must(storage_->settleUpload(pending, UploadOutcome::kStored, ""));
  EXPECT_EQ(content(upload), part + part + "rest");
}

TEST_F(PostgresContent, OfAnotherSizeThanTheRecordSaysIsRefused) {
  const auto pending = announced("/a", "four");
  EXPECT_EQ(storage_->bringContent(pending, {0, "longer"}, at(5)).error().code,
            ErrorCode::kNotFound);
}

TEST_F(PostgresContent, OfAnUploadThatIsDroppedIsSwept) {
  const auto pending = announced("/a", "one");
  must(storage_->bringContent(pending, {0, "one"}, at(5)));
  EXPECT_EQ(swept(), 0u);
  must(storage_->dropUpload(pending));
  EXPECT_EQ(swept(), 1u);
}

TEST_F(PostgresContent, MayBeBroughtTwice) {
  const auto pending = announced("/a", "one");
  must(storage_->bringContent(pending, {0, "one"}, at(5)));
  must(storage_->bringContent(pending, {0, "one"}, at(5)));
  const auto upload = must(storage_->settleUpload(pending, UploadOutcome::kStored, ""));
  EXPECT_EQ(content(upload), "one");
  put("/a", "two");
  EXPECT_EQ(swept(), 1u) << "nobody has it any more";
}

TEST_F(PostgresContent, TextThatIsNoUtf8IsRefusedAndHarmsNothing) {
  must(storage_->begin(Access::kWrite));
  UploadRecord record = stored("/\xff", 1);
  EXPECT_EQ(storage_->recordUpload(record).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(storage_->latestUpload("h", std::string("/\0", 2)).error().code, ErrorCode::kInvalid);
  must(storage_->recordUpload(stored("/a", 1)));
  must(storage_->commit());
  EXPECT_EQ(must(storage_->listUploads({})).size(), 1u);
}

}  // namespace
}  // namespace egalaxyd
