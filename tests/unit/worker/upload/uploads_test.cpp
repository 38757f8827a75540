#include "worker/upload/uploads.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/content/upload_mark.h"
#include "tests/support/fake_database.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// A client that uploads: what it sends comes when the test says so.
class Sender {
 public:
  explicit Sender(std::uint64_t announced)
      : body(std::make_shared<RequestBody>(announced, [this] { give(); })) {}

  void sends(std::string bytes) { pieces.emplace_back(std::move(bytes)); }
  void fails(Error error) { pieces.emplace_back(std::move(error)); }
  void give() {
    while (body->isWanted() && !pieces.empty()) {
      auto next = std::move(pieces.front());
      pieces.erase(pieces.begin());
      next ? body->give(std::move(next)) : body->end(std::move(next).error());
    }
  }

  std::vector<Result<std::string>> pieces;
  std::shared_ptr<RequestBody> body;
};

class UploadsTest : public testing::Test {
 protected:
  /// With a link: a database holds the content.
  explicit UploadsTest(std::unique_ptr<DatabaseLink> link = nullptr)
      : harness_(
            [this]() -> Result<std::unique_ptr<Storage>> {
              auto storage = std::make_unique<FaultyStorage>(makeMemoryStorage(), failAt_);
              storage_ = storage.get();
              return std::unique_ptr<Storage>(std::move(storage));
            },
            8, std::move(link)) {}

  UploadOrder orderFor(const std::string& name, std::uint64_t size) {
    UploadOrder order;
    order.place.root =
        std::make_shared<const SiteRoot>(must(SiteRoot::openAt(dir_.path(), SymlinkPolicy::kDeny)));
    order.place.relative = name;
    order.place.neverServed = std::make_shared<const PrivateFiles>();
    order.place.size = size;
    order.host = "example.org";
    order.readPath = "/" + name;
    order.mime = "text/plain";
    order.bounds = bounds_;
    order.keep = keep_;
    return order;
  }

  /// Begins; the answer is told by answer().
  void begin(const std::string& name, Sender& sender) {
    Request request = requestFor("/" + name);
    request.readPort = kGeminiPort;
    request.name = "ann";
    request.upload = UploadLine{};
    request.upload->size = sender.body->size();
    if (sender.body->size() > 0) request.body = sender.body;
    const std::uint64_t size = sender.body->size();
    harness_.services().uploads.carryOut(orderFor(name, size), std::move(request),
                                         Responder([this](std::optional<Response> response) {
                                           answer_ = std::move(response);
                                           isAnswered_ = true;
                                         }));
  }
  std::string answer() {
    harness_.turnUntil([&] { return isAnswered_; });
    isAnswered_ = false;
    if (!answer_) return "dropped";
    return std::to_string(static_cast<int>(answer_->status)) + " " + answer_->meta;
  }
  std::string upload(const std::string& name, const std::string& text) {
    Sender sender(text.size());
    sender.sends(text);
    sender.sends("");
    begin(name, sender);
    return answer();
  }
  /// All jobs of uploads and storage are answered.
  void untilIdle() {
    harness_.turnUntil(
        [&] { return harness_.services().uploads.pending() + harness_.storage().pending() == 0; });
  }

  std::string content(const std::string& name) {
    std::ifstream file(dir_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t files() {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }
  std::vector<UploadRecord> records() {
    return must(harness_.await(harness_.storage().read(
        [](Storage& storage) { return storage.listUploads({.limit = 100}); })));
  }
  std::size_t pendingRecords() {
    return must(harness_.await(harness_.storage().read(
                    [](Storage& storage) { return storage.pendingUploads(0, 100); })))
        .size();
  }

  void keepsVersions(std::uint64_t bytes = 1'000'000) {
    keep_.emplace();
    keep_->rules.bytes = bytes;
  }
  /// What can be had back of a record; nullopt: nothing.
  std::optional<std::string> version(std::int64_t upload) {
    const auto read = [upload](Storage& storage) -> Result<std::optional<std::string>> {
      const auto found = storage.findVersion(upload);
      if (!found) return found.error();
      if (!*found) return std::optional<std::string>();
      std::string all;
      for (std::uint64_t part = 0; all.size() < (*found)->size; ++part) {
        auto bytes = storage.readContent((*found)->content, part);
        if (!bytes) return bytes.error();
        all += *bytes;
      }
      return std::optional(all);
    };
    return must(harness_.await(harness_.storage().read(read)));
  }

  TempDir dir_;
  int failAt_ = 0;
  UploadBounds bounds_;
  std::optional<KeepOrder> keep_;
  std::atomic<FaultyStorage*> storage_ = nullptr;  ///< the storage lane's
  SiteHarness harness_;
  std::optional<Response> answer_;
  bool isAnswered_ = false;
};

TEST_F(UploadsTest, StoreWhatCameAndRecordIt) {
  EXPECT_EQ(upload("page", "hello"), "30 gemini://example.org/page");
  EXPECT_EQ(content("page"), "hello");
  EXPECT_EQ(upload("page", "world"), "30 gemini://example.org/page");
  EXPECT_EQ(content("page"), "world");
  const auto kept = records();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].outcome, UploadOutcome::kReplaced);
  EXPECT_EQ(kept[0].previousSha256, kept[1].sha256);
  EXPECT_EQ(kept[1].outcome, UploadOutcome::kStored);
  EXPECT_EQ(pendingRecords(), 0u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(UploadsTest, RecordTheNameOfWhoeverWrote) {
  upload("a", "abc");
  ASSERT_EQ(records().size(), 1u);
  EXPECT_EQ(records()[0].writer, "ann");
}

TEST_F(UploadsTest, TakeABodyInManyPieces) {
  Sender sender(300'000);
  for (int i = 0; i < 3; ++i) sender.sends(std::string(100'000, static_cast<char>('a' + i)));
  sender.sends("");
  begin("large", sender);
  EXPECT_EQ(answer(), "30 gemini://example.org/large");
  EXPECT_EQ(content("large"),
            std::string(100'000, 'a') + std::string(100'000, 'b') + std::string(100'000, 'c'));
}

TEST_F(UploadsTest, ThatStopHalfwayLeaveNothing) {
  Sender sender(200'000);
  sender.sends(std::string(100'000, 'x'));
  begin("page", sender);
  untilIdle();
  EXPECT_FALSE(isAnswered_);
  sender.fails({ErrorCode::kInvalid, "Fewer bytes came than were announced"});
  sender.give();
  EXPECT_EQ(answer(), "59 Fewer bytes came than were announced");
  untilIdle();
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(pendingRecords(), 0u);
  const auto kept = records();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].outcome, UploadOutcome::kRefused);
}

TEST_F(UploadsTest, DeleteAFile) {
  upload("page", "hello");
  EXPECT_EQ(upload("page", ""), "20 text/gemini");
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(upload("page", ""), "51 There is no such place");
}

TEST_F(UploadsTest, StayWithinTheirQuota) {
  bounds_.quota = UploadQuota{"", 10'000, UploadQuota::kUnlimited, UploadQuota::kUnlimited};
  EXPECT_EQ(upload("a", "hello").substr(0, 2), "30");
  EXPECT_EQ(upload("b", std::string(9'000, 'x')), "50 Your uploads here would exceed 10000B");
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(pendingRecords(), 0u);
}

TEST_F(UploadsTest, OfOthersAreNotReplacedWhereFilesHaveOwners) {
  upload("page", "nobody's");
  bounds_.ownOnly = true;
  EXPECT_EQ(upload("page", "mine now"),
            "50 This file is not yours: only who uploaded it may change it");
  EXPECT_EQ(content("page"), "nobody's");
}

TEST_F(UploadsTest, AnswerOnceARecordThatCouldNotBeCommittedIsWritten) {
  upload("page", "old");
  Sender sender(3);
  begin("page", sender);
  // It announces when it is whole; the commit after that settles.
  storage_.load()->whileLocked([this, writes = 0](Access access) mutable {
    if (access == Access::kWrite && ++writes == 2) storage_.load()->failNextCommit();
  });
  sender.sends("new");
  sender.sends("");
  sender.give();
  EXPECT_EQ(answer(), "30 gemini://example.org/page");
  EXPECT_EQ(content("page"), "new");
  EXPECT_EQ(records().size(), 2u);
  EXPECT_EQ(pendingRecords(), 0u);
}

TEST_F(UploadsTest, ThatAreUnsettledWhenTheWorkerLeavesAreNotKnown) {
  upload("page", "old");
  storage_.load()->whileLocked([this, writes = 0](Access access) mutable {
    if (access == Access::kWrite && ++writes >= 2) storage_.load()->failNextCommit();
  });
  Sender sender(3);
  sender.sends("new");
  sender.sends("");
  begin("page", sender);
  untilIdle();
  EXPECT_FALSE(isAnswered_);
  harness_.services().uploads.leave();
  EXPECT_EQ(answer(), "40 It is not known whether this was stored: look before you try again");
}

TEST_F(UploadsTest, WhateverTransactionFailsFileAndAnswerTellTheSame) {
  upload("page", "old");
  for (const bool atCommit : {false, true}) {
    for (int n = 1; n < 5; ++n) {
      auto& storage = *storage_.load();
      storage.whileLocked([&storage, n, atCommit, begun = 0](Access) mutable {
        const bool isIt = ++begun == n;
        if (isIt && atCommit) return storage.failNextCommit();
        storage.failAlways(isIt ? std::optional(Error{ErrorCode::kIo, "injected"}) : std::nullopt);
      });
      const std::string text = "new " + std::to_string(n) + (atCommit ? "c" : "b");
      const std::string told = upload("page", text);
      untilIdle();
      storage.whileLocked({});
      storage.failAlways(std::nullopt);
      EXPECT_EQ(content("page") == text, told.starts_with("30")) << n << ": " << told;
      EXPECT_EQ(files(), 1u) << n;
    }
  }
}

TEST_F(UploadsTest, KeepWhatTheyReplaceOrDelete) {
  keepsVersions();
  const std::string large(200'000, 'l');
  upload("page", "one");
  upload("page", large);
  upload("page", "three");
  upload("page", "");
  const auto kept = records();  // the newest first
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_EQ(version(kept[3].id), "one");
  EXPECT_EQ(version(kept[2].id), large);
  EXPECT_EQ(version(kept[1].id), "three");
  EXPECT_EQ(version(kept[0].id), "three") << "of the deletion";
}

TEST_F(UploadsTest, KeepNoVersionOfTheSameContent) {
  keepsVersions();
  upload("page", "same");
  upload("page", "same");
  EXPECT_EQ(version(records()[0].id), std::nullopt);
  EXPECT_EQ(version(records()[1].id), std::nullopt);
}

TEST_F(UploadsTest, ReadAgainWhatHasChangedSinceItWasRead) {
  keepsVersions();
  upload("page", "old");
  Sender sender(3);
  begin("page", sender);
  // It is read before the record is announced; the next write would replace it.
  storage_.load()->whileLocked([this, writes = 0](Access access) mutable {
    if (access == Access::kWrite && ++writes == 2) dir_.write("page", "by hand");
  });
  sender.sends("new");
  sender.sends("");
  sender.give();
  EXPECT_EQ(answer(), "30 gemini://example.org/page");
  storage_.load()->whileLocked({});
  EXPECT_EQ(content("page"), "new");
  const auto kept = records();
  const auto found = std::ranges::find(kept, UploadOutcome::kFound, &UploadRecord::outcome);
  ASSERT_NE(found, kept.end());
  EXPECT_EQ(version(found->id), "by hand");
}

TEST_F(UploadsTest, AreRefusedWhereTheirVersionHasNoRoom) {
  keepsVersions(2 * kBlockBytes);
  upload("page", std::string(5000, 'x'));
  EXPECT_EQ(upload("page", "new"), "40 There is no room for this now");
  EXPECT_EQ(content("page"), std::string(5000, 'x'));
  untilIdle();
  EXPECT_EQ(pendingRecords(), 0u);
}

TEST_F(UploadsTest, OfOneFileLoseNoVersion) {
  keepsVersions();
  Sender first(5);
  Sender second(6);
  begin("page", first);
  begin("page", second);
  for (Sender* sender : {&second, &first}) {
    sender->sends(sender == &first ? "first" : "second");
    sender->sends("");
    sender->give();
  }
  EXPECT_EQ(answer(), "30 gemini://example.org/page");
  harness_.turnUntil([&] { return isAnswered_ || content("page") == "first"; });
  untilIdle();
  const auto kept = records();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(version(kept[1].id), kept[1].size == 5 ? "first" : "second");
}

TEST_F(UploadsTest, WhateverTransactionFailsAVersionIsThereOnceItsFileIsReplaced) {
  keepsVersions();
  upload("page", "old");
  const auto old = records()[0].id;
  for (int n = 1; n < 6; ++n) {
    auto& storage = *storage_.load();
    storage.whileLocked([&storage, n, begun = 0](Access) mutable {
      if (++begun == n) storage.failNextCommit();
    });
    const std::string told = upload("page", "new " + std::to_string(n));
    untilIdle();
    storage.whileLocked({});
    if (content("page") == "old") {
      EXPECT_EQ(version(old), std::nullopt) << n << ": " << told;
    } else {
      EXPECT_EQ(version(old), "old") << n << ": " << told;
    }
  }
}

struct HasDatabase {
  FakeDatabase database_;
};

class DatabaseUploadsTest : private HasDatabase, public UploadsTest {
 protected:
  DatabaseUploadsTest() : UploadsTest(database_.link()) {}

  /// What the database holds for a record; nullopt: nothing.
  std::optional<std::string> held(std::int64_t upload) {
    const auto read = [upload](Storage& storage) -> Result<std::optional<std::string>> {
      const auto content = must(storage.contentOf(upload));
      if (!content) return std::optional<std::string>();
      std::string all;
      for (std::uint64_t part = 0;; ++part) {
        const std::string bytes = must(storage.readContent(*content, part));
        if (bytes.empty()) return std::optional(all);
        all += bytes;
      }
    };
    return must(harness_.await(harness_.storage().read(read)));
  }
  std::int64_t mark(const std::string& name) {
    return uploadOf(UniqueFd(::open((dir_ / name).c_str(), O_RDONLY | O_CLOEXEC)).get());
  }
  int told() const { return database_.told; }
};

TEST_F(DatabaseUploadsTest, PutTheContentIntoTheDatabaseAndACopyIntoTheFile) {
  EXPECT_EQ(upload("page", "hello"), "30 gemini://example.org/page");
  EXPECT_EQ(upload("page", "world"), "30 gemini://example.org/page");
  EXPECT_EQ(content("page"), "world");
  const auto kept = records();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].outcome, UploadOutcome::kReplaced);
  EXPECT_EQ(kept[0].previousSha256, kept[1].sha256);
  EXPECT_EQ(held(kept[0].id), "world");
  EXPECT_EQ(held(kept[1].id), std::nullopt);
  EXPECT_EQ(mark("page"), kept[0].id);
  EXPECT_EQ(pendingRecords(), 0u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(DatabaseUploadsTest, TellTheOtherHosts) {
  upload("page", "hello");
  harness_.turnUntil([&] { return told() > 0; });
}

TEST_F(DatabaseUploadsTest, TakeABodyOfManyParts) {
  const std::string large = std::string(40 * kContentPart, 'x') + "the end";
  Sender sender(large.size());
  for (std::size_t sent = 0; sent < large.size(); sent += 50'000) {
    sender.sends(large.substr(sent, 50'000));
  }
  sender.sends("");
  begin("large", sender);
  EXPECT_EQ(answer(), "30 gemini://example.org/large");
  EXPECT_EQ(held(records()[0].id), large);
  EXPECT_EQ(content("large"), large);
}

TEST_F(DatabaseUploadsTest, TakeABodyOfOnePartInPieces) {
  Sender sender(6);
  sender.sends("abc");
  sender.sends("def");
  sender.sends("");
  begin("page", sender);
  EXPECT_EQ(answer(), "30 gemini://example.org/page");
  EXPECT_EQ(held(records()[0].id), "abcdef");
}

TEST_F(DatabaseUploadsTest, DeleteWhatTheDatabaseHasWhetherAFileIsHereOrNot) {
  upload("page", "hello");
  EXPECT_EQ(upload("page", ""), "20 text/gemini");
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(records()[0].outcome, UploadOutcome::kDeleted);
  upload("page", "hello");
  fs::remove(dir_ / "page");
  EXPECT_EQ(upload("page", ""), "20 text/gemini");
}

TEST_F(DatabaseUploadsTest, LeaveAloneAFileThatTheDatabaseDoesNotKnow) {
  dir_.write("page", "by hand");
  EXPECT_EQ(upload("page", ""), "51 There is no such place");
  bounds_.ownOnly = true;
  EXPECT_EQ(upload("page", "mine now"),
            "50 This file is not yours: only who uploaded it may change it");
  EXPECT_EQ(content("page"), "by hand");
}

TEST_F(DatabaseUploadsTest, KeepWhatTheyReplaceOrDelete) {
  keepsVersions();
  const std::string large(200'000, 'l');
  upload("page", "one");
  upload("page", large);
  upload("page", "three");
  upload("page", "");
  untilIdle();
  const auto kept = records();  // the newest first
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_EQ(version(kept[3].id), "one");
  EXPECT_EQ(version(kept[2].id), large);
  EXPECT_EQ(version(kept[1].id), "three");
  EXPECT_EQ(version(kept[0].id), "three") << "of the deletion";
}

TEST_F(DatabaseUploadsTest, StayWithinTheirQuota) {
  bounds_.quota = UploadQuota{"", 10'000, UploadQuota::kUnlimited, UploadQuota::kUnlimited};
  EXPECT_EQ(upload("a", "hello").substr(0, 2), "30");
  EXPECT_EQ(upload("b", std::string(9'000, 'x')), "50 Your uploads here would exceed 10000B");
  EXPECT_EQ(files(), 1u);
}

TEST_F(DatabaseUploadsTest, AreStoredOnceTheyAreCommittedWhateverBecomesOfTheFile) {
  records();  // the storage is open then
  storage_.load()->whileLocked([this](Access access) {
    if (access == Access::kWrite) fs::create_directory(dir_ / "page");
  });
  EXPECT_EQ(upload("page", "hello"), "30 gemini://example.org/page");
  EXPECT_EQ(held(records()[0].id), "hello");
  EXPECT_TRUE(fs::is_directory(dir_ / "page"));
}

TEST_F(DatabaseUploadsTest, SayWhereNobodyCanTellWhetherTheyWereStored) {
  upload("page", "old");
  untilIdle();
  storage_.load()->failAlways(Error{ErrorCode::kUnknown, "no answer"});
  EXPECT_EQ(upload("page", "new"), "40 It may have been stored: look before you try again");
  untilIdle();
  EXPECT_EQ(content("page"), "old");
}

TEST_F(DatabaseUploadsTest, AreRefusedBeforeTheDatabaseIsAskedWhereTheFileCannotBe) {
  fs::create_directory(dir_ / "page");
  EXPECT_EQ(upload("page", "hello"), "50 What has this name is no file");
  untilIdle();
  EXPECT_EQ(records()[0].outcome, UploadOutcome::kRefused);
}

TEST_F(DatabaseUploadsTest, WhateverTransactionFailsFileAndRecordAndAnswerTellTheSame) {
  upload("page", "old");
  untilIdle();  // what it replaced is swept
  for (const bool atCommit : {false, true}) {
    for (int n = 1; n < 4; ++n) {
      auto& storage = *storage_.load();
      storage.whileLocked([&storage, n, atCommit, begun = 0](Access) mutable {
        const bool isIt = ++begun == n;
        if (isIt && atCommit) return storage.failNextCommit();
        storage.failAlways(isIt ? std::optional(Error{ErrorCode::kIo, "injected"}) : std::nullopt);
      });
      const std::string text =
          std::string(70'000, 'x') + std::to_string(n) + (atCommit ? "c" : "b");
      const std::string told = upload("page", text);
      untilIdle();
      storage.whileLocked({});
      storage.failAlways(std::nullopt);
      const auto kept = records();
      const auto latest = std::ranges::find_if(
          kept, [](const auto& record) { return record.outcome != UploadOutcome::kRefused; });
      EXPECT_EQ(content("page") == text, told.starts_with("30")) << n << ": " << told;
      EXPECT_EQ(held(latest->id), content("page")) << n;
      EXPECT_EQ(files(), 1u) << n;
    }
  }
}

}  // namespace
}  // namespace egalaxyd
