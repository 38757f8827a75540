// What every storage does with earlier content of files.
#include <gtest/gtest.h>

#include "common/base/sha256.h"
#include "tests/unit/common/storage/storage_engines.h"

namespace egalaxyd {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

class VersionContract : public testing::TestWithParam<Engine> {
 protected:
  UploadRecord record(const std::string& path, const std::string& content) {
    UploadRecord record;
    record.time = now_;
    record.host = "h";
    record.path = path;
    record.size = content.size();
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    return record;
  }

  std::int64_t announced(const std::string& path, const std::string& content) {
    return must(storage_->announceUpload(record(path, content)));
  }

  OldContent old(const std::string& content) {
    OldContent old;
    old.sha256 = sha256Hex(content);
    old.size = content.size();
    old.written = now_;
    old.rest = content;
    return old;
  }

  /// An upload of `content` in place of `before`, which is kept; the record's id.
  std::int64_t replaced(const std::string& path, const std::string& before,
                        const std::string& content, std::uint64_t count = kUnlimited,
                        std::uint64_t bytes = kUnlimited) {
    const std::int64_t pending = announced(path, content);
    must(storage_->keepVersion(pending, old(before), now_));
    must(storage_->pruneVersions(pending, "", {count, bytes}, now_));
    const auto outcome = content.empty() ? UploadOutcome::kDeleted : UploadOutcome::kReplaced;
    return must(storage_->settleUpload(pending, outcome, sha256Hex(before)));
  }

  std::int64_t stored(const std::string& path, const std::string& content) {
    return must(storage_->settleUpload(announced(path, content), UploadOutcome::kStored, ""));
  }

  /// The content that can be had back by a record; nullopt: none.
  std::optional<std::string> content(std::int64_t upload) {
    const auto version = must(storage_->findVersion(upload));
    if (!version) return std::nullopt;
    std::string all;
    for (std::uint64_t part = 0;; ++part) {
      const std::string bytes = must(storage_->readContent(version->content, part));
      if (bytes.empty()) break;
      all += bytes;
    }
    EXPECT_EQ(version->sha256, sha256Hex(all));
    EXPECT_EQ(version->size, all.size());
    return all;
  }

  std::uint64_t swept() { return must(storage_->sweepContents({}, 1000)); }

  TempDir dir_;
  WallTime now_ = at(1'000'000);
  std::unique_ptr<Storage> storage_ = GetParam().make(dir_, {});
};

INSTANTIATE_TEST_SUITE_P(Every, VersionContract, testing::ValuesIn(kEngines),
                         [](const auto& engine) { return std::string(engine.param.name); });

TEST_P(VersionContract, HasBackWhatAnUploadReplaced) {
  const auto first = stored("/a", "one");
  const auto second = replaced("/a", "one", "two");
  EXPECT_EQ(content(first), "one");
  EXPECT_EQ(content(second), std::nullopt) << "the file has it";
  const auto version = must(storage_->findVersion(first));
  EXPECT_EQ(version->upload, first);
  EXPECT_EQ(version->replacedBy, second);
}

TEST_P(VersionContract, HasBackWhatADeletionTookAway) {
  const auto first = stored("/a", "one");
  const auto deletion = replaced("/a", "one", "");
  EXPECT_EQ(content(deletion), "one");
  EXPECT_EQ(content(first), "one");
}

TEST_P(VersionContract, GivesContentThatNoUploadBroughtARecord) {
  const auto upload = replaced("/a", "by hand", "two");
  const auto records = must(storage_->listUploads({}));
  ASSERT_EQ(records.size(), 2u);
  const auto found = records[0].id == upload ? records[1] : records[0];
  EXPECT_EQ(found.outcome, UploadOutcome::kFound);
  EXPECT_EQ(found.sha256, sha256Hex("by hand"));
  EXPECT_EQ(content(found.id), "by hand");
  EXPECT_EQ(must(storage_->latestUpload("h", "/a"))->id, upload);
}

TEST_P(VersionContract, CountsFoundContentAgainstNobody) {
  replaced("/a", "by hand", "two");
  EXPECT_EQ(must(storage_->keptUploads("h", "/", std::nullopt)), (KeptUploads{3 + 4096, 1}));
}

TEST_P(VersionContract, ForgetsWhatAnAbandonedUploadKept) {
  const auto first = stored("/a", "one");
  const auto pending = announced("/a", "two");
  must(storage_->keepVersion(pending, old("one"), now_));
  EXPECT_EQ(content(first), std::nullopt) << "not replaced yet";
  must(storage_->dropUpload(pending));
  EXPECT_EQ(content(first), std::nullopt);
  EXPECT_EQ(swept(), 1u);

  const auto again = announced("/b", "x");
  must(storage_->keepVersion(again, old("by hand"), now_));
  must(storage_->dropUpload(again));
  EXPECT_EQ(must(storage_->listUploads({})).size(), 1u) << "its record goes too";
}

TEST_P(VersionContract, AnUploadThatLooksAgainKeepsTheLastLookAlone) {
  const auto first = stored("/a", "one");
  const auto pending = announced("/a", "three");
  must(storage_->keepVersion(pending, old("one"), now_));
  const auto second = replaced("/a", "one", "two");
  must(storage_->keepVersion(pending, old("two"), now_));
  must(storage_->settleUpload(pending, UploadOutcome::kReplaced, sha256Hex("two")));
  EXPECT_EQ(content(first), "one");
  EXPECT_EQ(content(second), "two");
  EXPECT_EQ(must(storage_->expireVersions(at(9'000'000))), 0u);
}

TEST_P(VersionContract, TakesLargeContentInParts) {
  const std::string part(kContentPart, 'p');
  const auto first = stored("/a", part + part + "rest");
  const auto id = must(storage_->appendContent(0, part, now_));
  EXPECT_EQ(must(storage_->appendContent(id, part, now_)), id);
  const auto pending = announced("/a", "two");
  OldContent large = old(part + part + "rest");
  large.content = id;
  large.rest = "rest";
  must(storage_->keepVersion(pending, large, now_));
  must(storage_->settleUpload(pending, UploadOutcome::kReplaced, large.sha256));
  EXPECT_EQ(content(first), part + part + "rest");
}

TEST_P(VersionContract, KeepsTheSameContentOnce) {
  const auto first = stored("/a", "same");
  const auto other = stored("/b", "same");
  replaced("/a", "same", "two");
  const auto twice = must(storage_->appendContent(0, "same", now_));
  const auto pending = announced("/b", "two");
  OldContent same = old("same");
  same.content = twice;
  same.rest = "";
  must(storage_->keepVersion(pending, same, now_));
  must(storage_->settleUpload(pending, UploadOutcome::kReplaced, same.sha256));
  EXPECT_EQ(must(storage_->findVersion(first))->content,
            must(storage_->findVersion(other))->content);
  EXPECT_EQ(swept(), 1u) << "what was appended";
  EXPECT_EQ(content(other), "same");
}

TEST_P(VersionContract, KeepsAsManyOfAFileAsTheRulesSay) {
  std::vector<std::int64_t> ids{stored("/a", "0")};
  for (int i = 1; i <= 5; ++i) {
    ids.push_back(replaced("/a", std::to_string(i - 1), std::to_string(i), 2));
  }
  EXPECT_EQ(content(ids[4]), "4");
  EXPECT_EQ(content(ids[3]), "3");
  EXPECT_EQ(content(ids[2]), std::nullopt);
  EXPECT_EQ(swept(), 3u);
  EXPECT_EQ(swept(), 0u);
  EXPECT_EQ(content(ids[3]), "3");
}

TEST_P(VersionContract, KeepsNoMoreOfAMountThanTheRulesSayAndTheOldestGoFirst) {
  const std::uint64_t room = 2 * (1 + kBlockBytes);
  const auto a = stored("/a", "a");
  replaced("/a", "a", "A", kUnlimited, room);
  now_ += std::chrono::hours(48);
  const auto b = stored("/b", "b");
  replaced("/b", "b", "B", kUnlimited, room);
  now_ += std::chrono::hours(48);
  const auto c = stored("/c", "c");
  replaced("/c", "c", "C", kUnlimited, room);
  EXPECT_EQ(content(a), std::nullopt);
  EXPECT_EQ(content(b), "b");
  EXPECT_EQ(content(c), "c");
}

TEST_P(VersionContract, TheOnlyVersionOfAFileStaysForADay) {
  const std::uint64_t room = 1 + kBlockBytes;
  const auto a = stored("/a", "a");
  replaced("/a", "a", "A", kUnlimited, room);
  const auto pending = announced("/b", "B");
  must(storage_->keepVersion(pending, old("b"), now_));
  const auto refused = storage_->pruneVersions(pending, "", {kUnlimited, room}, now_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(content(a), "a");
  must(storage_->pruneVersions(pending, "", {kUnlimited, room}, now_ + kProtectedVersion));
  EXPECT_EQ(content(a), std::nullopt);
}

TEST_P(VersionContract, AFileWithTwoVersionsGivesRoomForItsLast) {
  const std::uint64_t room = 1 + kBlockBytes;
  const auto first = stored("/a", "1");
  const auto second = replaced("/a", "1", "2", kUnlimited, room);
  replaced("/a", "2", "3", kUnlimited, room);
  EXPECT_EQ(content(first), std::nullopt);
  EXPECT_EQ(content(second), "2");
}

TEST_P(VersionContract, ForgetsVersionsWhoseTimeHasPassed) {
  const auto first = stored("/a", "1");
  const auto pending = announced("/a", "2");
  OldContent until = old("1");
  until.expires = now_ + std::chrono::hours(1);
  must(storage_->keepVersion(pending, until, now_));
  EXPECT_EQ(must(storage_->expireVersions(now_ + std::chrono::hours(2))), 0u) << "not settled";
  must(storage_->settleUpload(pending, UploadOutcome::kReplaced, until.sha256));
  EXPECT_EQ(must(storage_->expireVersions(now_)), 0u);
  EXPECT_EQ(content(first), "1");
  EXPECT_EQ(must(storage_->expireVersions(now_ + std::chrono::hours(2))), 1u);
  EXPECT_EQ(content(first), std::nullopt);
}

TEST_P(VersionContract, SweepsContentThatNobodyFinished) {
  const auto content = must(storage_->appendContent(0, "abandoned", now_));
  EXPECT_EQ(must(storage_->sweepContents(now_ - std::chrono::seconds(1), 1000)), 0u);
  EXPECT_EQ(must(storage_->sweepContents(now_, 1000)), 1u);
  EXPECT_EQ(storage_->appendContent(content, "more", now_).error().code, ErrorCode::kNotFound);
  const auto pending = announced("/a", "2");
  OldContent gone = old("abandoned");
  gone.content = content;
  gone.rest = "";
  EXPECT_EQ(storage_->keepVersion(pending, gone, now_).error().code, ErrorCode::kNotFound);
}

TEST_P(VersionContract, SweepsSomePartsAtATime) {
  const std::string part(kContentPart, 'p');
  auto content = must(storage_->appendContent(0, part, now_));
  for (int i = 0; i < 4; ++i) content = must(storage_->appendContent(content, part, now_));
  EXPECT_EQ(must(storage_->sweepContents(now_, 3)), 3u);
  EXPECT_EQ(must(storage_->sweepContents(now_, 3)), 2u);
  EXPECT_EQ(must(storage_->sweepContents(now_, 3)), 0u);
}

TEST_P(VersionContract, KeepsAnEmptyFile) {
  const auto upload = replaced("/a", "", "two");
  const auto records = must(storage_->listUploads({}));
  const auto found = records[0].id == upload ? records[1] : records[0];
  EXPECT_EQ(content(found.id), "");
}

}  // namespace
}  // namespace egalaxyd
