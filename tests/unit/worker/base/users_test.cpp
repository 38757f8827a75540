#include "worker/base/users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/faulty_storage.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/storage/storage_samples.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::Field;
using Value = std::optional<std::string>;

ClientIdentity identity(std::string_view certificate, std::string_view key) {
  ClientIdentity made;
  made.fingerprint = fingerprint(certificate);
  made.keyFingerprint = fingerprint(key);
  return made;
}

class UsersTest : public testing::Test {
 protected:
  Result<void> write(const std::string& key, const std::string& value) {
    return harness_.await(users_.write(alice_, key, value));
  }
  Value read(const ClientIdentity& who, const std::string& key) {
    return must(harness_.await(users_.read(who, key)));
  }
  Users::Metadata readAll(const ClientIdentity& who) {
    return must(harness_.await(users_.readAll(who)));
  }

  SiteHarness harness_;
  Users& users_ = harness_.services().users;
  const ClientIdentity alice_ = identity("a", "1");
  const ClientIdentity renewed_ = identity("b", "1");
  const ClientIdentity bob_ = identity("c", "2");
};

TEST_F(UsersTest, KeepsMetadataByKeyAcrossCertificates) {
  EXPECT_TRUE(readAll(alice_).empty());
  EXPECT_EQ(read(alice_, "k"), std::nullopt);
  EXPECT_FALSE(must(harness_.await(users_.find(alice_))));
  const std::string bytes("\0\xff", 2);
  ASSERT_TRUE(write("k", bytes));
  EXPECT_EQ(read(alice_, "k"), bytes);
  EXPECT_EQ(read(renewed_, "k"), bytes);
  EXPECT_EQ(read(bob_, "k"), std::nullopt);
  const auto user = must(harness_.await(users_.find(renewed_)));
  ASSERT_TRUE(user);
  EXPECT_EQ(user->id, fingerprint("a"));
}

TEST_F(UsersTest, RefusesWhatIsTooLong) {
  EXPECT_EQ(write("k", std::string(kMaxMetadataBytes + 1, 'x')).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(write(std::string(256, 'k'), "x").error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(write("k", std::string(kMaxMetadataBytes, 'x')));
}

TEST_F(UsersTest, UpdatesFromTheValueOfNow) {
  const auto append = [&] {
    return harness_.await(
        users_.update(alice_, "k", [](Value before) { return before.value_or("") + "x"; }));
  };
  ASSERT_TRUE(append());
  ASSERT_TRUE(append());
  EXPECT_EQ(read(alice_, "k"), "xx");
  const auto stumbled =
      harness_.await(users_.update(alice_, "k", [](Value) -> std::string { throw 7; }));
  ASSERT_FALSE(stumbled);
  EXPECT_EQ(stumbled.error().code, ErrorCode::kIo);
  EXPECT_EQ(read(alice_, "k"), "xx");
}

TEST_F(UsersTest, RemovesAndDoesNotMindWhatIsNotThere) {
  const auto remove = [&](const ClientIdentity& who) {
    return harness_.await(users_.remove(who, "k"));
  };
  EXPECT_TRUE(remove(bob_));
  ASSERT_TRUE(write("k", "v"));
  EXPECT_TRUE(remove(alice_));
  EXPECT_TRUE(remove(alice_));
  EXPECT_TRUE(readAll(alice_).empty());
}

TEST_F(UsersTest, FindsWhatAllKeepUnderAPrefix) {
  ASSERT_TRUE(write("guestbook/1", "hello"));
  ASSERT_TRUE(write("other", "x"));
  const auto entries = must(harness_.await(users_.findAll("guestbook/", 10)));
  ASSERT_THAT(entries, ElementsAre(Field(&Users::Entry::key, "guestbook/1")));
  EXPECT_EQ(entries[0].user, fingerprint("a"));
  EXPECT_EQ(entries[0].value, "hello");
  EXPECT_GT(entries[0].updated, 0);
}

TEST_F(UsersTest, BelongToARequestWithACertificate) {
  Request request;
  request.users = &users_;
  EXPECT_FALSE(request.user());
  request.identity = std::make_shared<const ClientIdentity>(alice_);
  ASSERT_TRUE(request.user());
  ASSERT_TRUE(harness_.await(request.user()->write("k", "v")));
  EXPECT_EQ(must(harness_.await(request.user()->read("k"))), "v");
}

TEST_F(UsersTest, AnswerBusyWhenTooMuchWaits) {
  int answered = 0;
  int busy = 0;
  const auto jobs = static_cast<int>(2 * StorageLaneOptions().queueLimit);
  std::promise<void> gate;
  users_
      .update(alice_, "k",
              [opened = gate.get_future().share()](const std::optional<std::string>&) {
                opened.wait();
                return std::string("v");
              })
      .then([&](Result<void>) { ++answered; });
  for (int i = 1; i < jobs; ++i) {
    users_.write(alice_, "k", "v").then([&](Result<void> result) {
      ++answered;
      if (!result) busy += result.error().code == ErrorCode::kBusy;
    });
  }
  gate.set_value();
  while (answered < jobs) harness_.turn();
  EXPECT_GT(busy, 0);
}

/// A storage that several openings share.
class Lent final {
 public:
  explicit Lent(const std::filesystem::path& file) : file_(file) { must(migrateStorage(file_)); }
  std::unique_ptr<Storage> open() const {
    return must(openSqliteStorage(file_, std::chrono::milliseconds(0)));
  }

 private:
  std::filesystem::path file_;
};

TEST(UsersFaults, LeaveTheOldValueOrTheNewOne) {
  const ClientIdentity alice = identity("a", "1");
  bool succeeded = false;
  for (int n = 1; !succeeded && n < 100; ++n) {
    const TempDir dir;
    const Lent storage(dir / "db");
    {
      auto direct = storage.open();
      const auto user = must(direct->resolveUser(alice.fingerprint, alice.keyFingerprint, at(1)));
      must(direct->writeMetadata(user, "k", "old", at(1)));
    }
    SiteHarness harness([&]() -> Result<std::unique_ptr<Storage>> {
      return std::unique_ptr<Storage>(std::make_unique<FaultyStorage>(storage.open(), n));
    });
    const auto written = harness.await(harness.services().users.write(alice, "k", "new"));
    succeeded = written.ok();
    auto direct = storage.open();
    const auto value = must(direct->readMetadata(alice.fingerprint, "k"));
    EXPECT_EQ(value, succeeded ? "new" : "old") << "call " << n << " failed";
    EXPECT_EQ(must(direct->listUsers(10)).size(), 1U);
  }
  EXPECT_TRUE(succeeded);
}

}  // namespace
}  // namespace egalaxyd
