#include "master/supervise/rehearsal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

TEST(Rehearsal, SurvivesTheWayFromProcessToProcess) {
  Rehearsal told;
  told.complaints = {{"e.toml:1", "a\nb \xff 5:", false}, {"", "", true}};
  told.names = {{"a.test", "127.0.0.1"}, {"a.test", "::1"}};
  told.storageTrouble = "the disk is full";
  told.databaseUrl = "postgresql://db/e";
  told.databaseIsReady = true;
  told.log = {{"info", "made"}};
  const auto got = Rehearsal::decode(told.encode());
  ASSERT_TRUE(got);
  ASSERT_EQ(got->complaints.size(), 2u);
  EXPECT_EQ(got->complaints[0].where, "e.toml:1");
  EXPECT_EQ(got->complaints[0].text, "a\nb \xff 5:");
  EXPECT_FALSE(got->complaints[0].mayPass);
  EXPECT_TRUE(got->complaints[1].mayPass);
  EXPECT_THAT(got->names, ElementsAre(Pair("a.test", "127.0.0.1"), Pair("a.test", "::1")));
  EXPECT_EQ(got->storageTrouble, "the disk is full");
  EXPECT_EQ(got->databaseUrl, "postgresql://db/e");
  EXPECT_TRUE(got->databaseIsReady);
  EXPECT_EQ(got->log.at(0).text, "made");
}

TEST(Rehearsal, BelievesNoNonsense) {
  const std::string good = Rehearsal{{{"where", "text"}}, {}, {}, {}}.encode();
  for (std::size_t size = 1; size < good.size(); ++size) {
    EXPECT_FALSE(Rehearsal::decode(good.substr(0, size))) << size;
  }
  EXPECT_FALSE(Rehearsal::decode("99999999999999999999:x"));
}

class RehearsalTest : public testing::Test {
 protected:
  RehearsalTest() { dir_.makeDir("root"); }

  Rehearsal rehearseWith(const std::string& toml) const {
    return rehearse(
        [&] {
          LoadedConfig loaded = parseConfig(toml, dir_ / "e.toml");
          loaded.config.server.stateDir = dir_.path();
          return loaded;
        },
        ListenerSet());
  }

  TempDir dir_;
};

TEST_F(RehearsalTest, MakesWhatIsMissingAndResolvesNames) {
  const Rehearsal done = rehearseWith(
      "listen.gemini = [\"localhost:1\", \"127.0.0.1:2\", \":3\"]\n"
      "[sites.\"a.test\"]\nroot = \"root\"\n");
  EXPECT_THAT(done.complaints, IsEmpty());
  EXPECT_GE(done.names.count("localhost"), 1u);
  EXPECT_EQ(done.names.size(), done.names.count("localhost"));
  EXPECT_TRUE(std::filesystem::exists(dir_ / "certificates/a.test.crt"));
  EXPECT_THAT(done.log, testing::Contains(
                            Field(&Rehearsal::LogLine::text, HasSubstr("certificate for a.test"))));
}

TEST_F(RehearsalTest, AWarningIsLoggedAndHindersNothing) {
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  expired.writePem(dir_ / "a.crt", dir_ / "a.key");
  const Rehearsal done = rehearseWith(
      "[sites.\"a.test\"]\nroot = \"root\"\ncertificate = \"a.crt\"\nkey = \"a.key\"\n");
  EXPECT_THAT(done.complaints, IsEmpty());
  EXPECT_THAT(done.log, testing::Contains(AllOf(
                            Field(&Rehearsal::LogLine::level, "warning"),
                            Field(&Rehearsal::LogLine::text,
                                  AllOf(testing::StartsWith((dir_ / "e.toml").string() + ":3: "),
                                        HasSubstr("a.crt: the certificate expired at "))))));
}

TEST_F(RehearsalTest, ARootThatIsAwayIsLoggedAndHindersNothing) {
  const Rehearsal done = rehearseWith("[sites.\"a.test\"]\nroot = \"no\"\n");
  EXPECT_THAT(done.complaints, IsEmpty());
  EXPECT_THAT(done.log, testing::Contains(AllOf(Field(&Rehearsal::LogLine::level, "warning"),
                                                Field(&Rehearsal::LogLine::text,
                                                      HasSubstr((dir_ / "no").string() + ": ")))));
}

TEST_F(RehearsalTest, TellsEveryComplaint) {
  const Rehearsal done = rehearseWith(
      "log.levl = \"info\"\n[sites.\"a.test\"]\nroot = \"root\"\ncertificate = \"no.crt\"\n"
      "key = \"no.key\"\n");
  EXPECT_THAT(done.complaints, ElementsAre(Field(&Complaint::text, HasSubstr("level")),
                                           Field(&Complaint::text, HasSubstr("no.crt"))));
}

}  // namespace
}  // namespace egalaxyd
