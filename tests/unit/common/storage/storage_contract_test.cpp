// What every storage does.
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/common/storage/storage_engines.h"

namespace egalaxyd {
namespace {

using Metadata = std::map<std::string, std::string>;

class StorageContract : public testing::TestWithParam<Engine> {
 protected:
  std::string makeUser(std::string_view name, std::int64_t seen = 100) {
    return must(
        storage_->resolveUser(fingerprint(name), fingerprint("e" + std::string(name)), at(seen)));
  }
  std::optional<std::string> value(const std::string& user, std::string_view key) {
    return must(storage_->readMetadata(user, key));
  }
  std::vector<std::int64_t> uploads(const UploadFilter& filter) {
    std::vector<std::int64_t> ids;
    for (const UploadRecord& record : must(storage_->listUploads(filter))) ids.push_back(record.id);
    return ids;
  }

  TempDir dir_;
  std::unique_ptr<Storage> storage_ = GetParam().make(dir_, {});
};

INSTANTIATE_TEST_SUITE_P(Every, StorageContract, testing::ValuesIn(kEngines),
                         [](const auto& engine) { return std::string(engine.param.name); });

TEST_P(StorageContract, MakesAUserOnceAndFindsItAgain) {
  EXPECT_EQ(must(storage_->findUser(fingerprint("a"), fingerprint("1"))), std::nullopt);
  EXPECT_EQ(must(storage_->resolveUser(fingerprint("a"), fingerprint("1"), at(5))),
            fingerprint("a"));
  EXPECT_EQ(must(storage_->findUser(fingerprint("a"), fingerprint("1"))), fingerprint("a"));
  EXPECT_EQ(must(storage_->resolveUser(fingerprint("a"), fingerprint("1"), at(9))),
            fingerprint("a"));
  const User user = must(storage_->showUser(fingerprint("a")));
  EXPECT_EQ(user.firstSeen, at(5));
  EXPECT_EQ(user.lastSeen, at(5));
  EXPECT_EQ(user.visits, 0u);
  EXPECT_EQ(user.keys, std::vector{fingerprint("1")});
}

TEST_P(StorageContract, FindsTheSameUserBehindARenewedCertificateWithTheSameKey) {
  const std::string user = must(storage_->resolveUser(fingerprint("a"), fingerprint("1"), at(5)));
  EXPECT_EQ(must(storage_->resolveUser(fingerprint("b"), fingerprint("1"), at(6))), user);
  EXPECT_NE(must(storage_->resolveUser(fingerprint("c"), fingerprint("2"), at(7))), user);
  EXPECT_EQ(must(storage_->listUsers(10)).size(), 2u);
}

TEST_P(StorageContract, RefusesWhatIsNoFingerprint) {
  for (const std::string& bad :
       {std::string(), std::string("ab"), std::string(64, 'A'), std::string(65, 'a')}) {
    EXPECT_EQ(storage_->resolveUser(bad, fingerprint("1"), at(1)).error().code,
              ErrorCode::kInvalid);
    EXPECT_EQ(storage_->findUser(fingerprint("a"), bad).error().code, ErrorCode::kInvalid);
  }
}

TEST_P(StorageContract, CountsVisitsOfUsersAndOfThoseWhoWereAdmitted) {
  const std::string known = makeUser("a", 50);
  const Visit visits[] = {{known, fingerprint("ea"), 3, at(70)},
                          {fingerprint("b"), fingerprint("eb"), 2, at(60), true},
                          {known, fingerprint("ea"), 1, at(10)}};
  must(storage_->addVisits(visits));
  const User a = must(storage_->showUser(known));
  EXPECT_EQ(a.visits, 4u);
  EXPECT_EQ(a.firstSeen, at(50));
  EXPECT_EQ(a.lastSeen, at(70));
  EXPECT_EQ(must(storage_->showUser(fingerprint("b"))).visits, 2u);
  EXPECT_EQ(must(storage_->showUser(fingerprint("b"))).firstSeen, at(60));
}

TEST_P(StorageContract, KnowsAUserByWhatTheCertificateLastClaimed) {
  const std::string user =
      must(storage_->resolveUser(fingerprint("a"), fingerprint("ea"), at(5), "Ann"));
  EXPECT_EQ(must(storage_->showUser(user)).claimed, "Ann");
  must(storage_->resolveUser(fingerprint("a"), fingerprint("ea"), at(6), "Eve"));
  EXPECT_EQ(must(storage_->showUser(user)).claimed, "Ann") << "that is no visit";
  const Visit visits[] = {{fingerprint("c"), fingerprint("ea"), 1, at(7), false, "Ann Lee"},
                          {fingerprint("b"), fingerprint("eb"), 1, at(7), true, "Bob"}};
  must(storage_->addVisits(visits));
  EXPECT_EQ(must(storage_->showUser(user)).claimed, "Ann Lee");
  EXPECT_EQ(must(storage_->showUser(fingerprint("b"))).claimed, "Bob");
}

TEST(ClaimedName, IsShortAndFitToBeShown) {
  EXPECT_EQ(claimedName("Ann Lee"), "Ann Lee");
  EXPECT_EQ(claimedName(""), "");
  EXPECT_EQ(claimedName("a\x1b[2J\nb\xff"), "a?[2J?b?");
  EXPECT_EQ(claimedName("a\u202eb"), "a\uFFFDb");
  EXPECT_EQ(claimedName(std::string(9000, 'x')), std::string(64, 'x'));
  EXPECT_EQ(claimedName(std::string(63, 'x') + "\u00e4"), std::string(63, 'x')) << "none is cut";
}

TEST_P(StorageContract, KeepsTheNameOfAnUploadsWriterUntilTheUserIsForgotten) {
  const std::string user = makeUser("a");
  UploadRecord record = stored("/a", 3, user);
  record.writer = "ann";
  const std::int64_t pending = must(storage_->announceUpload(record));
  EXPECT_EQ(must(storage_->pendingUploads(0, 9))[0].writer, "ann");
  const std::int64_t settled = must(storage_->settleUpload(pending, UploadOutcome::kStored, ""));
  EXPECT_EQ(must(storage_->showUpload(settled)).writer, "ann");
  UploadRecord byToken = stored("/b", 3);
  byToken.writer = "bob";
  const std::int64_t other = must(storage_->recordUpload(byToken));
  must(storage_->recordUpload(stored("/c", 3, user)));
  EXPECT_EQ(uploads({.writer = "ann"}), std::vector{settled});
  EXPECT_EQ(uploads({.writer = "bob"}), std::vector{other});
  must(storage_->announceUpload(record));
  must(storage_->forgetUser(user));
  EXPECT_EQ(must(storage_->showUpload(settled)).writer, "");
  EXPECT_EQ(must(storage_->pendingUploads(0, 9))[0].writer, "");
  EXPECT_EQ(must(storage_->showUpload(other)).writer, "bob");
}

TEST_P(StorageContract, VisitsOfStrangersLeaveNoTrace) {
  const Visit visits[] = {{fingerprint("a"), fingerprint("ea"), 3, at(70)},
                          {fingerprint("b"), fingerprint("eb"), 1, at(70)}};
  must(storage_->addVisits(visits));
  EXPECT_TRUE(must(storage_->listUsers(10)).empty());
  EXPECT_EQ(must(storage_->findUser(fingerprint("a"), fingerprint("ea"))), std::nullopt);
}

TEST_P(StorageContract, CountsNoVisitOfABatchThatHoldsANonsense) {
  const Visit visits[] = {{fingerprint("a"), fingerprint("ea"), 3, at(70), true},
                          {"?", "?", 1, at(70)}};
  EXPECT_EQ(storage_->addVisits(visits).error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(must(storage_->listUsers(10)).empty());
}

TEST_P(StorageContract, MakesNoMoreUsersInAMinuteThanItMay) {
  storage_ = GetParam().make(dir_, {.newUsersPerMinute = 2});
  const std::string a = makeUser("a", 100);
  makeUser("b", 120);
  const auto refused = storage_->resolveUser(fingerprint("c"), fingerprint("ec"), at(159));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(storage_->trouble().has_value(), false) << "nothing is wrong with the storage";
  const Visit visits[] = {{fingerprint("c"), fingerprint("ec"), 1, at(159), true},
                          {a, fingerprint("ea"), 5, at(159)}};
  must(storage_->addVisits(visits));
  EXPECT_EQ(must(storage_->listUsers(10)).size(), 2u);
  EXPECT_EQ(must(storage_->showUser(a)).visits, 5u) << "those who are there notice nothing";
  must(storage_->writeMetadata(a, "k", "v", at(159)));
  EXPECT_EQ(makeUser("a", 159), a);
  makeUser("c", 160);
  EXPECT_FALSE(storage_->resolveUser(fingerprint("d"), fingerprint("ed"), at(161)));
}

TEST_P(StorageContract, UsersOfTheFutureAreNotNew) {
  storage_ = GetParam().make(dir_, {.newUsersPerMinute = 1});
  makeUser("a", 10'000);
  makeUser("b", 100);
  EXPECT_EQ(must(storage_->listUsers(10)).size(), 2u);
}

TEST_P(StorageContract, ForgetsUsersWhoStayedAwayAndKeepNothing) {
  makeUser("a", 100);
  makeUser("b", 110);
  const std::string wrote = makeUser("c", 100);
  must(storage_->writeMetadata(wrote, "k", "v", at(100)));
  const std::string uploaded = makeUser("d", 100);
  must(storage_->recordUpload(stored("/x", 1, uploaded)));
  const std::string announced = makeUser("e", 100);
  must(storage_->announceUpload(stored("/y", 1, announced)));
  const std::string removed = makeUser("f", 100);
  must(storage_->writeMetadata(removed, "k", "v", at(100)));
  must(storage_->removeMetadata(removed, "k"));
  UploadRecord refused = stored("/z", 1, makeUser("0", 100));
  refused.outcome = UploadOutcome::kRefused;
  must(storage_->recordUpload(refused));
  EXPECT_EQ(must(storage_->expireUsers(at(100), 10)), 0u);
  EXPECT_EQ(must(storage_->expireUsers(at(110), 10)), 3u);
  EXPECT_EQ(storage_->showUser(fingerprint("a")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(must(storage_->findUser(fingerprint("a"), fingerprint("ea"))), std::nullopt);
  EXPECT_EQ(must(storage_->listUsers(10)).size(), 4u);
  EXPECT_EQ(must(storage_->listUploads({})).at(1).user, uploaded);
}

TEST_P(StorageContract, AnAnnouncementThatIsDroppedLeavesNoUserWhoCameWithIt) {
  const auto announce = [&](const std::string& user) {
    return must(storage_->announceUpload(stored("/x", 1, user)));
  };
  const std::string fresh = makeUser("a", 1000);
  const std::string older = makeUser("b", 999);
  const std::string writer = makeUser("c", 1000);
  must(storage_->writeMetadata(writer, "k", "v", at(1000)));
  const std::string busy = makeUser("d", 1000);
  const std::int64_t other = announce(busy);
  for (const std::string& user : {fresh, older, writer, busy}) {
    must(storage_->dropUpload(announce(user)));
  }
  EXPECT_EQ(storage_->showUser(fresh).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(must(storage_->listUsers(10)).size(), 3u);
  must(storage_->dropUpload(other));
  EXPECT_EQ(storage_->showUser(busy).error().code, ErrorCode::kNotFound);
}

TEST_P(StorageContract, ForgetsNoMoreUsersAtOnceThanItIsAskedTo) {
  for (const char* name : {"a", "b", "c"}) makeUser(name, 100);
  EXPECT_EQ(must(storage_->expireUsers(at(200), 2)), 2u);
  EXPECT_EQ(must(storage_->expireUsers(at(200), 2)), 1u);
  EXPECT_EQ(must(storage_->expireUsers(at(200), 2)), 0u);
}

TEST_P(StorageContract, KeepsMetadataByUserAndKey) {
  const std::string a = makeUser("a");
  const std::string b = makeUser("b");
  const std::string bytes("\0\xFF\n", 3);
  must(storage_->writeMetadata(a, "name", "Alice", at(1)));
  must(storage_->writeMetadata(a, "bytes", bytes, at(1)));
  must(storage_->writeMetadata(b, "name", "", at(1)));
  must(storage_->writeMetadata(a, "name", "Ada", at(2)));
  EXPECT_EQ(must(storage_->readMetadata(a)), (Metadata{{"bytes", bytes}, {"name", "Ada"}}));
  EXPECT_EQ(value(b, "name"), "");
  EXPECT_EQ(value(b, "bytes"), std::nullopt);
  must(storage_->removeMetadata(a, "name"));
  must(storage_->removeMetadata(a, "never there"));
  EXPECT_EQ(must(storage_->readMetadata(a)), (Metadata{{"bytes", bytes}}));
  EXPECT_TRUE(must(storage_->readMetadata(fingerprint("f"))).empty());
}

TEST_P(StorageContract, LimitsKeysAndValues) {
  const std::string user = makeUser("a");
  const std::string longest(kMaxMetadataBytes, 'v');
  must(storage_->writeMetadata(user, std::string(255, 'k'), longest, at(1)));
  must(storage_->writeMetadata(user, "Grüße 🌌", "x", at(1)));
  EXPECT_EQ(value(user, std::string(255, 'k')), longest);
  const std::pair<std::string, std::string> refused[] = {
      {"", "x"},        {std::string(256, 'k'), "x"}, {"k", longest + 'v'},
      {"\xC3(", "x"},   {"\xED\xA0\x80", "x"},        {"a\nb", "x"},
      {"\xC0\xAF", "x"}};
  for (const auto& [key, text] : refused) {
    EXPECT_EQ(storage_->writeMetadata(user, key, text, at(1)).error().code, ErrorCode::kInvalid)
        << key;
  }
  EXPECT_EQ(must(storage_->readMetadata(user)).size(), 2u);
}

TEST_P(StorageContract, FindsMetadataOfAllUsersByTheBeginningOfItsKey) {
  const std::string a = makeUser("a");
  const std::string b = makeUser("b");
  must(storage_->writeMetadata(a, "guest/1", "old", at(1)));
  must(storage_->writeMetadata(b, "guest/1", "new", at(3)));
  must(storage_->writeMetadata(a, "guest/2", "mid", at(2)));
  must(storage_->writeMetadata(a, "guesu", "other", at(9)));
  must(storage_->writeMetadata(a, "g", "short", at(9)));
  const auto found = [&](std::string_view prefix, std::size_t limit) {
    std::string all;
    for (const auto& entry : must(storage_->findMetadata(prefix, limit))) {
      all += entry.user.substr(0, 1) + entry.key + "=" + entry.value + "@" +
             std::to_string(entry.updated.time_since_epoch().count()) + " ";
    }
    return all;
  };
  EXPECT_EQ(found("guest/", 10), "bguest/1=new@3 aguest/2=mid@2 aguest/1=old@1 ");
  EXPECT_EQ(found("guest/", 2), "bguest/1=new@3 aguest/2=mid@2 ");
  EXPECT_EQ(found("guest/", 0), "");
  EXPECT_EQ(found("none", 10), "");
  EXPECT_EQ(must(storage_->findMetadata("", 10)).size(), 5u);
  must(storage_->writeMetadata(a, "guest/1", "newest", at(5)));
  EXPECT_EQ(found("guest/1", 1), "aguest/1=newest@5 ");
}

TEST_P(StorageContract, WritesNoMetadataForAnUnknownUser) {
  EXPECT_EQ(storage_->writeMetadata(fingerprint("a"), "k", "v", at(1)).error().code,
            ErrorCode::kNotFound);
}

TEST_P(StorageContract, ExpiresTheMetadataOfThoseWhoStayedAway) {
  const std::string gone = makeUser("a", 100);
  const std::string wrote = makeUser("b", 100);
  const std::string visited = makeUser("c", 100);
  for (const std::string& user : {gone, wrote, visited}) {
    must(storage_->writeMetadata(user, "k", "v", at(110)));
    must(storage_->writeMetadata(user, "l", "w", at(90)));
  }
  must(storage_->writeMetadata(wrote, "k", "new", at(200)));
  const Visit visit{visited, fingerprint("ec"), 1, at(200)};
  must(storage_->addVisits({&visit, 1}));
  EXPECT_EQ(must(storage_->expireMetadata(at(110), 10)), 0u);
  EXPECT_EQ(must(storage_->expireMetadata(at(111), 1)), 1u);
  EXPECT_EQ(must(storage_->expireMetadata(at(111), 10)), 1u);
  EXPECT_EQ(must(storage_->expireMetadata(at(111), 10)), 0u);
  EXPECT_TRUE(must(storage_->readMetadata(gone)).empty());
  EXPECT_EQ(value(wrote, "k"), "new");
  EXPECT_EQ(value(visited, "k"), "v");
  EXPECT_EQ(must(storage_->showUser(gone)).id, gone);
}

TEST_P(StorageContract, ListsThoseWhoWereSeenLastFirst) {
  for (const char* name : {"c", "a", "d", "b"}) makeUser(name);
  const Visit visit{fingerprint("d"), fingerprint("ed"), 1, at(500)};
  must(storage_->addVisits({&visit, 1}));
  const std::vector<User> users = must(storage_->listUsers(3));
  ASSERT_EQ(users.size(), 3u);
  EXPECT_EQ(users[0].id, fingerprint("d"));
  EXPECT_EQ(users[1].id, fingerprint("a"));
  EXPECT_EQ(users[2].id, fingerprint("b"));
  EXPECT_EQ(users[2].keys, std::vector{fingerprint("eb")});
}

TEST_P(StorageContract, ShowsAUserByItsIdOrAnUnambiguousBeginning) {
  makeUser("abc1");
  makeUser("abc2");
  makeUser("abf");
  EXPECT_EQ(must(storage_->showUser("abc1")).id, fingerprint("abc1"));
  EXPECT_EQ(must(storage_->showUser("abf")).id, fingerprint("abf"));
  EXPECT_EQ(storage_->showUser("abc").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(storage_->showUser("").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(storage_->showUser("abd").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(storage_->showUser("%").error().code, ErrorCode::kNotFound);
}

TEST_P(StorageContract, ForgetsAUserButNotWhatItUploaded) {
  const std::string user = makeUser("a");
  must(storage_->writeMetadata(user, "k", "v", at(1)));
  const std::int64_t upload = must(storage_->recordUpload(stored("/x", 5, user)));
  EXPECT_EQ(must(storage_->showUpload(upload)).user, user);
  EXPECT_EQ(storage_->forgetUser("a").error().code, ErrorCode::kNotFound);
  const ForgottenUser gone = must(storage_->forgetUser(user));
  EXPECT_EQ(gone.keys, 1u);
  EXPECT_EQ(gone.metadata, 1u);
  EXPECT_EQ(gone.uploads, 1u);
  EXPECT_EQ(storage_->showUser(user).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(storage_->forgetUser(user).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(must(storage_->findUser(user, fingerprint("ea"))), std::nullopt);
  EXPECT_EQ(must(storage_->showUpload(upload)).user, "");
  EXPECT_EQ(must(storage_->showUpload(upload)).client, "");
  EXPECT_EQ(must(storage_->showUpload(upload)).size, 5u);
  makeUser("a");
  EXPECT_TRUE(must(storage_->readMetadata(user)).empty());
}

TEST_P(StorageContract, KeepsEveryFieldOfAnUpload) {
  UploadRecord record = stored("/grüße 🌌", std::uint64_t{1} << 40, makeUser("a"));
  record.previousSha256 = fingerprint("0b");
  const std::int64_t id = must(storage_->recordUpload(record));
  const UploadRecord back = must(storage_->showUpload(id));
  EXPECT_EQ(back.id, id);
  EXPECT_EQ(back.time, record.time);
  EXPECT_EQ(back.protocol, record.protocol);
  EXPECT_EQ(back.host, record.host);
  EXPECT_EQ(back.path, record.path);
  EXPECT_EQ(back.user, record.user);
  EXPECT_EQ(back.client, record.client);
  EXPECT_EQ(back.mime, record.mime);
  EXPECT_EQ(back.size, record.size);
  EXPECT_EQ(back.sha256, record.sha256);
  EXPECT_EQ(back.previousSha256, record.previousSha256);
  EXPECT_EQ(back.outcome, UploadOutcome::kStored);
  EXPECT_EQ(must(storage_->showUpload(must(storage_->recordUpload(deleted("/x"))))).outcome,
            UploadOutcome::kDeleted);
  EXPECT_EQ(storage_->showUpload(999).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(storage_->showUpload(0).error().code, ErrorCode::kNotFound);
}

TEST_P(StorageContract, LeavesOutAnUploaderWhoHasBeenForgottenMeanwhile) {
  const std::int64_t id = must(storage_->recordUpload(stored("/x", 1, fingerprint("a"))));
  EXPECT_EQ(must(storage_->showUpload(id)).user, "");
}

TEST_P(StorageContract, ListsUploadsNewestFirstAndFiltersThem) {
  const std::string user = makeUser("a");
  UploadRecord late = stored("/wiki/b", 1);
  late.time = at(2000);
  UploadRecord elsewhere = stored("/wiki", 1);
  elsewhere.host = "example.com";
  const auto add = [&](const UploadRecord& r) { return must(storage_->recordUpload(r)); };
  const auto first = add(stored("/wiki", 1));
  const auto second = add(stored("/wikipedia", 1, user));
  const auto third = add(late);
  const auto fourth = add(elsewhere);
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(uploads({}), (Ids{third, fourth, second, first}));
  EXPECT_EQ(uploads({.limit = 2}), (Ids{third, fourth}));
  EXPECT_EQ(uploads({.host = "example.org"}), (Ids{third, second, first}));
  EXPECT_EQ(uploads({.path = "/wiki"}), (Ids{third, fourth, first}));
  EXPECT_EQ(uploads({.path = "/wiki/"}), (Ids{third, fourth, first}));
  EXPECT_EQ(uploads({.path = "/"}), (Ids{third, fourth, second, first}));
  EXPECT_EQ(uploads({.path = "/wiki/b"}), (Ids{third}));
  EXPECT_EQ(uploads({.user = user}), (Ids{second}));
  EXPECT_EQ(uploads({.since = at(1001)}), (Ids{third}));
  EXPECT_EQ(uploads({.host = "example.org", .path = "/wiki", .since = at(1000), .limit = 1}),
            (Ids{third}));
  EXPECT_EQ(uploads({.host = "example.org", .path = "/wiki", .user = user}), (Ids{}));
}

TEST_P(StorageContract, KnowsTheLatestUploadOfAPath) {
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x")), std::nullopt);
  must(storage_->recordUpload(stored("/x", 1)));
  must(storage_->recordUpload(stored("/x", 2)));
  must(storage_->recordUpload(stored("/x/y", 3)));
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x"))->size, 2u);
  EXPECT_EQ(must(storage_->latestUpload("example.com", "/x")), std::nullopt);
  must(storage_->recordUpload(deleted("/x")));
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x"))->outcome, UploadOutcome::kDeleted);
}

/// As keptUploads() counts a file.
constexpr std::uint64_t counted(std::uint64_t bytes, std::uint64_t blocks = 1) {
  return bytes + blocks * kBlockBytes;
}

/// Each case before the sums are kept, and while they are.
class QuotaContract : public StorageContract {
 protected:
  KeptUploads kept(std::optional<std::string_view> user, std::string_view prefix) {
    return must(storage_->keptUploads("example.org", prefix, user));
  }
  /// Within a transaction that writes the sums begin.
  void beginSums(std::string_view prefix) {
    must(atomically(*storage_, Access::kWrite, [&]() -> Result<void> {
      auto kept = storage_->keptUploads("example.org", prefix, std::nullopt);
      return kept ? Result<void>() : kept.error();
    }));
  }
  QuotaVerdict measure(const UploadRecord& record, const UploadQuota& quota) {
    return must(measureUpload(*storage_, record, quota));
  }
};

INSTANTIATE_TEST_SUITE_P(Every, QuotaContract, testing::ValuesIn(kEngines),
                         [](const auto& engine) { return std::string(engine.param.name); });

TEST_P(QuotaContract, CountsWhatIsThereNow) {
  const std::string a = makeUser("a");
  const std::string b = makeUser("b");
  for (const bool summed : {false, true}) {
    if (summed) beginSums("/wiki");
    const KeptUploads before = kept(a, "/wiki");
    EXPECT_EQ(before.files, summed ? 1u : 0u);
    for (const UploadRecord& record :
         {stored("/wiki/1", 10, a), stored("/wiki/2", 20, a), stored("/wiki/3", 40, a),
          stored("/wikipedia", 80, a), stored("/wiki/4", 160, b)}) {
      must(storage_->recordUpload(record));
    }
    EXPECT_EQ(kept(a, "/wiki"), (KeptUploads{counted(70, 3), 3}));
    EXPECT_EQ(kept(a, ""), (KeptUploads{counted(150, 4), 4}));
    EXPECT_EQ(kept(a, "/"), (KeptUploads{counted(150, 4), 4}));
    EXPECT_EQ(kept(a, "/wiki/2"), (KeptUploads{counted(20), 1}));
    EXPECT_EQ(kept(std::nullopt, "/wiki/"), (KeptUploads{counted(230, 4), 4}));
    EXPECT_EQ(must(storage_->keptUploads("example.com", "/wiki", a)), KeptUploads{});
    must(storage_->recordUpload(stored("/wiki/1", 11, a)));  // again, larger
    must(storage_->recordUpload(stored("/wiki/2", 21, b)));  // taken over
    must(storage_->recordUpload(deleted("/wiki/3", b)));
    EXPECT_EQ(kept(a, "/wiki"), (KeptUploads{counted(11), 1}));
    EXPECT_EQ(kept(b, "/wiki"), (KeptUploads{counted(181, 2), 2}));
    EXPECT_EQ(kept(std::nullopt, "/wiki"), (KeptUploads{counted(192, 3), 3}));
  }
}

TEST_P(QuotaContract, CountsWhatIsAnnouncedFromItsFirstMomentToItsLast) {
  const std::string a = makeUser("a");
  for (const bool summed : {false, true}) {
    if (summed) beginSums("/w");
    UploadRecord deep = stored("/w/a/b/c", 5, a);
    deep.blocks = 3;
    const auto first = must(storage_->announceUpload(deep));
    EXPECT_EQ(kept(a, "/w"), (KeptUploads{counted(5, 3), 1}));
    must(storage_->dropUpload(first));
    EXPECT_EQ(kept(a, "/w"), KeptUploads{});
    must(storage_->settleUpload(must(storage_->announceUpload(deep)), UploadOutcome::kStored, ""));
    EXPECT_EQ(kept(std::nullopt, "/w"), (KeptUploads{counted(5, 3), 1}));
    EXPECT_EQ(must(storage_->latestUpload("example.org", "/w/a/b/c"))->blocks, 3u);
    UploadRecord deletion = deleted("/w/a/b/c", a);
    deletion.blocks = 0;
    const auto last = must(storage_->announceUpload(deletion));
    EXPECT_EQ(kept(a, "/w"), (KeptUploads{counted(5, 3), 1})) << "a deletion is no file";
    must(storage_->settleUpload(last, UploadOutcome::kDeleted, ""));
    EXPECT_EQ(kept(a, "/w"), KeptUploads{});
    EXPECT_EQ(kept(std::nullopt, "/w"), KeptUploads{});
  }
}

TEST_P(QuotaContract, WhatAForgottenUserKeptIsNobodys) {
  beginSums("/");
  const std::string a = makeUser("a");
  must(storage_->recordUpload(stored("/x", 7, a)));
  must(storage_->announceUpload(stored("/y", 8, a)));
  must(storage_->forgetUser(a));
  EXPECT_EQ(kept(a, "/"), KeptUploads{});
  EXPECT_EQ(kept("", "/"), (KeptUploads{counted(15, 2), 2}));
  EXPECT_EQ(kept(std::nullopt, "/"), (KeptUploads{counted(15, 2), 2}));
}

TEST_P(QuotaContract, SumsOfPrefixesWithinEachOtherAreKeptApart) {
  beginSums("");
  beginSums("/a");
  beginSums("/a/b");
  must(storage_->recordUpload(stored("/a/b/c", 1)));
  must(storage_->recordUpload(stored("/a/b", 2)));
  must(storage_->recordUpload(stored("/a/bc", 4)));
  must(storage_->recordUpload(stored("/ab", 8)));
  EXPECT_EQ(kept("", ""), (KeptUploads{counted(15, 4), 4}));
  EXPECT_EQ(kept("", "/a"), (KeptUploads{counted(7, 3), 3}));
  EXPECT_EQ(kept("", "/a/b"), (KeptUploads{counted(3, 2), 2}));
}

TEST_P(StorageContract, AnAnnouncedUploadBecomesTheLatestOnceItIsSettled) {
  must(storage_->recordUpload(stored("/x", 1)));
  const auto id = must(storage_->announceUpload(stored("/x", 2)));
  EXPECT_EQ(must(storage_->listUploads({})).size(), 1u);
  ASSERT_EQ(must(storage_->pendingUploads(0, 100)).size(), 1u);
  EXPECT_EQ(must(storage_->pendingUploads(0, 100))[0].id, id);
  EXPECT_EQ(must(storage_->pendingUploads(0, 100))[0].size, 2u);
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x"))->size, 1u);
  const auto settled =
      must(storage_->settleUpload(id, UploadOutcome::kReplaced, fingerprint("01d")));
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x"))->id, settled);
  EXPECT_EQ(must(storage_->showUpload(settled)).previousSha256, fingerprint("01d"));
  EXPECT_EQ(must(storage_->showUpload(settled)).outcome, UploadOutcome::kReplaced);
  EXPECT_TRUE(must(storage_->pendingUploads(0, 100)).empty());
  EXPECT_EQ(storage_->settleUpload(999, UploadOutcome::kStored, "").error().code,
            ErrorCode::kNotFound);
}

TEST_P(StorageContract, SettledUploadsStandInTheOrderInWhichTheyHappened) {
  const auto first = must(storage_->announceUpload(stored("/x", 1)));
  const auto second = must(storage_->announceUpload(stored("/x", 2)));
  must(storage_->settleUpload(second, UploadOutcome::kStored, ""));
  must(storage_->settleUpload(first, UploadOutcome::kReplaced, ""));
  const auto records = must(storage_->listUploads({}));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].size, 1u);
  EXPECT_EQ(records[0].id, must(storage_->latestUpload("example.org", "/x"))->id);
  EXPECT_EQ(records[1].size, 2u);
}

TEST_P(StorageContract, AnAnnouncedUploadThatDoesNotHappenLeavesNoRecord) {
  const auto id = must(storage_->announceUpload(stored("/x", 2)));
  must(storage_->dropUpload(id));
  EXPECT_EQ(storage_->showUpload(id).error().code, ErrorCode::kNotFound);
  const auto kept = must(storage_->recordUpload(stored("/x", 1)));
  must(storage_->dropUpload(kept));
  EXPECT_EQ(must(storage_->showUpload(kept)).size, 1u);
}

TEST_P(QuotaContract, MeasuresWhatAUserMayKeep) {
  const std::string a = makeUser("a");
  const UploadQuota quota{.prefix = "/wiki", .userBytes = counted(100, 2)};
  must(storage_->recordUpload(stored("/wiki/1", 60, a)));
  must(storage_->recordUpload(stored("/elsewhere", 90, a)));
  EXPECT_EQ(measure(stored("/wiki/2", 41, a), quota), QuotaVerdict::kUserIsFull);
  EXPECT_EQ(measure(stored("/wiki/2", 40, a), quota), QuotaVerdict::kFits);
  EXPECT_EQ(measure(stored("/wiki/2", 41, fingerprint("b")), quota), QuotaVerdict::kFits);
  // What it replaces is given back, and what is announced counts.
  const auto again = stored("/wiki/1", counted(100), a);
  EXPECT_EQ(measure(again, quota), QuotaVerdict::kFits);
  must(storage_->announceUpload(again));
  EXPECT_EQ(measure(stored("/wiki/2", 1, a), quota), QuotaVerdict::kUserIsFull);
  EXPECT_EQ(measure(stored("/wiki/2", std::numeric_limits<std::int64_t>::max(), a), quota),
            QuotaVerdict::kUserIsFull);
}

TEST_P(QuotaContract, MeasuresWhatAllMayKeep) {
  const std::string a = makeUser("a");
  const std::string b = makeUser("b");
  const UploadQuota bytes{.prefix = "/wiki", .allBytes = counted(100, 2)};
  const UploadQuota files{.prefix = "/wiki", .files = 2};
  must(storage_->recordUpload(stored("/wiki/1", 60, a)));
  EXPECT_EQ(measure(stored("/wiki/2", 40, b), bytes), QuotaVerdict::kFits);
  EXPECT_EQ(measure(stored("/wiki/2", 41, b), bytes), QuotaVerdict::kAllIsFull);
  EXPECT_EQ(measure(stored("/wiki/1", counted(100), b), bytes), QuotaVerdict::kFits)
      << "somebody else's is given back too";
  EXPECT_EQ(measure(stored("/wiki/2", 1, b), files), QuotaVerdict::kFits);
  must(storage_->announceUpload(stored("/wiki/2", 1, b)));
  EXPECT_EQ(measure(stored("/wiki/3", 1, b), files), QuotaVerdict::kTooManyFiles);
  EXPECT_EQ(measure(stored("/wiki/1", 9, b), files), QuotaVerdict::kFits);
  must(storage_->recordUpload(deleted("/wiki/1", a)));
  EXPECT_EQ(measure(stored("/wiki/1", 9, b), files), QuotaVerdict::kFits);
}

TEST_P(StorageContract, ARefusedUploadIsRememberedAndChangesNothing) {
  const auto first = must(storage_->recordUpload(stored("/x", 1)));
  UploadRecord refused = stored("/x", 2);
  refused.outcome = UploadOutcome::kRefused;
  refused.why = "A valid token is required";
  const auto id = must(storage_->recordUpload(refused));
  EXPECT_EQ(must(storage_->showUpload(id)).why, "A valid token is required");
  EXPECT_EQ(must(storage_->showUpload(id)).outcome, UploadOutcome::kRefused);
  EXPECT_EQ(must(storage_->latestUpload("example.org", "/x"))->id, first);
}

TEST_P(StorageContract, ForgetsTheOldestOfManyRefusedUploads) {
  UploadRecord refused = stored("/x", 2);
  refused.outcome = UploadOutcome::kRefused;
  must(storage_->begin(Access::kWrite));
  const auto first = must(storage_->recordUpload(refused));
  for (std::int64_t n = 1; n < kMaxRefusedUploads; ++n) must(storage_->recordUpload(refused));
  EXPECT_TRUE(storage_->showUpload(first).ok());
  must(storage_->recordUpload(refused));
  EXPECT_EQ(storage_->showUpload(first).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(storage_->showUpload(first + 1).ok());
  must(storage_->commit());
}

TEST_P(StorageContract, TakesBackAWholeTransaction) {
  const std::string user = makeUser("a");
  must(storage_->begin(Access::kWrite));
  must(storage_->writeMetadata(user, "k", "v", at(1)));
  makeUser("b");
  EXPECT_EQ(value(user, "k"), "v");
  storage_->rollback();
  EXPECT_EQ(value(user, "k"), std::nullopt);
  EXPECT_EQ(must(storage_->listUsers(9)).size(), 1u);
}

TEST_P(StorageContract, TakesBackAnInnerTransactionAlone) {
  const std::string user = makeUser("a");
  must(storage_->begin(Access::kWrite));
  must(storage_->writeMetadata(user, "before", "1", at(1)));
  const auto failed = atomically(*storage_, Access::kWrite, [&]() -> Result<void> {
    must(storage_->writeMetadata(user, "inner", "1", at(1)));
    must(storage_->writeMetadata(user, "before", "2", at(1)));
    return storage_->writeMetadata(fingerprint("f"), "k", "v", at(1));
  });
  EXPECT_EQ(failed.error().code, ErrorCode::kNotFound);
  must(atomically(*storage_, Access::kWrite,
                  [&] { return storage_->writeMetadata(user, "after", "1", at(1)); }));
  must(storage_->commit());
  EXPECT_EQ(must(storage_->readMetadata(user)), (Metadata{{"after", "1"}, {"before", "1"}}));
}

TEST_P(StorageContract, RefusesToWriteWhereOnlyReadingWasAnnounced) {
  const std::string user = makeUser("a");
  must(storage_->begin(Access::kRead));
  EXPECT_EQ(must(storage_->resolveUser(user, fingerprint("ea"), at(1))), user);
  EXPECT_EQ(storage_->writeMetadata(user, "k", "v", at(1)).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(storage_->recordUpload(stored("/x", 1)).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(storage_->begin(Access::kWrite).error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(must(storage_->readMetadata(user)).empty());
  must(storage_->commit());
  must(storage_->writeMetadata(user, "k", "v", at(1)));
  EXPECT_EQ(storage_->trouble().has_value(), false);
}

TEST(FaultyStorage, LeavesTheOldOrTheNewWhereverAWriteFails) {
  const auto rename = [](Storage& storage, const std::string& user) {
    return atomically(storage, Access::kWrite, [&]() -> Result<void> {
      for (const char* key : {"first name", "last name"}) {
        if (auto done = storage.writeMetadata(user, key, "new", at(2)); !done) return done;
      }
      return {};
    });
  };
  TempDir dir;
  must(migrateStorage(dir / "s.db"));
  int failures = 0;
  for (int n = 1;; ++n) {
    auto inner = must(openSqliteStorage(dir / "s.db", {}));
    const auto user = must(inner->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
    for (const char* key : {"first name", "last name"}) {
      must(inner->writeMetadata(user, key, "old", at(1)));
    }
    FaultyStorage storage(std::move(inner), n);
    const bool done = rename(storage, user).ok();
    const auto after = must(must(openSqliteStorage(dir / "s.db", {}))->readMetadata(user));
    const std::string expected = done ? "new" : "old";
    EXPECT_EQ(after, (Metadata{{"first name", expected}, {"last name", expected}})) << n;
    if (done) break;
    ++failures;
  }
  EXPECT_EQ(failures, 4);  // begin, two writes, commit
}

}  // namespace
}  // namespace egalaxyd
