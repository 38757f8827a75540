#include "common/system/log.h"

#include <Poco/JSON/Object.h>
#include <Poco/JSON/Parser.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/deadline.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

class LogTest : public testing::Test {
 protected:
  void open(LogFormat format = LogFormat::kText, bool access = true) {
    LogConfig config;
    config.target = (dir_ / "log").string();
    config.format = format;
    config.access = access;
    ASSERT_TRUE(openLog(config, "worker 0").ok());
  }
  ~LogTest() override { closeLog(); }

  Poco::JSON::Object::Ptr json() {
    return Poco::JSON::Parser().parse(dir_.read("log")).extract<Poco::JSON::Object::Ptr>();
  }

  static AccessRecord record() {
    AccessRecord made;
    made.protocol = "gemini";
    made.url = "gemini://h.test/a";
    made.status = 20;
    made.meta = "text/gemini";
    made.bytes = 1234;
    made.duration = std::chrono::microseconds(1250);
    made.client = "192.0.2.0";
    return made;
  }

  TempDir dir_;
};

TEST_F(LogTest, WritesOneLinePerMessageWithTimeLevelAndProcess) {
  open();
  spdlog::warn("the roof is {}", "on fire");
  EXPECT_TRUE(dir_.read("log").ends_with("Z warn  worker 0: the roof is on fire\n"));
}

TEST_F(LogTest, LeavesOutWhatIsBelowItsLevel) {
  open();
  spdlog::debug("too much detail");
  EXPECT_EQ(dir_.read("log"), "");
}

TEST_F(LogTest, WritesARequestOnOneLine) {
  open();
  logAccess(record());
  EXPECT_TRUE(dir_.read("log").ends_with(
      "worker 0: gemini 20 \"gemini://h.test/a\" \"text/gemini\" 1234B 1.250ms 192.0.2.0 user=- "
      "ended=\"ok\"\n"))
      << dir_.read("log");
}

TEST_F(LogTest, WritesTheNameBehindTheFingerprint) {
  open();
  AccessRecord named = record();
  named.name = "ann";
  logAccess(named);
  EXPECT_NE(dir_.read("log").find(" user=@ann ended="), std::string::npos) << dir_.read("log");
  named.user = "0123456789abcdef";
  logAccess(named);
  EXPECT_NE(dir_.read("log").find(" user=0123456789abcdef@ann ended="), std::string::npos);
}

TEST_F(LogTest, WritesTheNameAsAMemberOfItsOwnInJson) {
  open(LogFormat::kJson);
  AccessRecord named = record();
  named.name = "ann";
  logAccess(named);
  EXPECT_EQ(json()->getValue<std::string>("name"), "ann");
  EXPECT_EQ(json()->getValue<std::string>("user"), "-");
}

TEST_F(LogTest, NoClientCanForgeALine) {
  open();
  AccessRecord forged = record();
  forged.url = "gemini://h/\n2026 error master: \"gone\" \x1b[31m\x7f \xff \xc2\x85 caf\xc3\xa9";
  logAccess(forged);
  const std::string line = dir_.read("log");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find(R"(gemini://h/\x0a2026 error master: \"gone\" \x1b[31m\x7f \xff \xc2\x85)"
                      " caf\xc3\xa9\""),
            std::string::npos)
      << line;
}

TEST_F(LogTest, WritesJsonThatParsesWhateverItHolds) {
  open(LogFormat::kJson);
  AccessRecord odd = record();
  odd.url = "gemini://h/\"\\\n\x01\xff caf\xc3\xa9";
  odd.user = "0123456789abcdef";
  logAccess(odd);
  const auto object = json();
  EXPECT_EQ(object->getValue<std::string>("url"), "gemini://h/\"\\\n\x01\xc3\xbf caf\xc3\xa9");
  EXPECT_EQ(object->getValue<int>("status"), 20);
  EXPECT_EQ(object->getValue<int>("bytes"), 1234);
  EXPECT_EQ(object->getValue<std::string>("user"), "0123456789abcdef");
  EXPECT_EQ(object->getValue<std::string>("process"), "worker 0");
}

TEST_F(LogTest, WritesMessagesAsJsonToo) {
  open(LogFormat::kJson);
  spdlog::error("a \"quoted\" thing");
  EXPECT_EQ(json()->getValue<std::string>("message"), "a \"quoted\" thing");
  EXPECT_EQ(json()->getValue<std::string>("level"), "error");
}

TEST_F(LogTest, AccessLinesCanBeLeftOut) {
  open(LogFormat::kText, false);
  logAccess(record());
  EXPECT_EQ(dir_.read("log"), "");
}

TEST_F(LogTest, TheWriterThreadWritesEverythingBeforeItEnds) {
  open();
  startLogWriter();
  for (int i = 0; i < 500; ++i) spdlog::info("line {}", i);
  closeLog();
  const std::string all = dir_.read("log");
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 500);
  EXPECT_TRUE(all.ends_with("line 499\n"));
  EXPECT_EQ(takeDroppedLogLines(), 0u);
}

TEST_F(LogTest, ReopensItsFileAfterARotation) {
  open();
  spdlog::info("before");
  std::filesystem::rename(dir_ / "log", dir_ / "log.1");
  spdlog::info("still in the old one");
  LogConfig config;
  config.target = (dir_ / "log").string();
  auto opened = openLogTarget(config.target);
  ASSERT_TRUE(opened.ok());
  changeLogTarget(0, std::move(*opened));
  spdlog::info("after");
  EXPECT_TRUE(dir_.read("log").ends_with("after\n"));
  EXPECT_TRUE(dir_.read("log.1").ends_with("still in the old one\n"));
}

TEST_F(LogTest, ATargetThatTakesNothingCostsLinesAndNoTime) {
  LogConfig config;
  config.target = "/dev/full";
  ASSERT_TRUE(openLog(config, "worker 0").ok());
  spdlog::info("lost");
  EXPECT_EQ(takeDroppedLogLines(), 1u);
  EXPECT_EQ(takeDroppedLogLines(), 0u);
}

/// A pipe with room for nothing, in the place of stderr while it lives.
class FullStderr {
 public:
  FullStderr() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    out_.reset(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    while (::write(STDERR_FILENO, "\n", 1) == 1) {
    }
  }
  ~FullStderr() { ::dup2(before_.get(), STDERR_FILENO); }

  std::string drain() {
    std::string all;
    char chunk[4096];
    for (ssize_t got = 0; (got = ::read(out_.get(), chunk, sizeof chunk)) > 0;) {
      all.append(chunk, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  UniqueFd before_{::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)};
  UniqueFd out_;
};

TEST_F(LogTest, SaysHowManyLinesAreMissingOnceItCan) {
  FullStderr target;
  ASSERT_TRUE(openLog(LogConfig(), "worker 0").ok());
  for (int i = 0; i < 5; ++i) spdlog::info("lost");
  EXPECT_EQ(takeDroppedLogLines(), 5u);
  target.drain();
  spdlog::info("kept");
  const std::string all = target.drain();
  EXPECT_NE(all.find("5 log lines were dropped"), std::string::npos) << all;
  EXPECT_LT(all.find("5 log lines"), all.find("kept")) << all;
  spdlog::info("also kept");
  EXPECT_EQ(target.drain().find("dropped"), std::string::npos);
}

TEST_F(LogTest, TheWriterThreadSaysHowManyLinesAreMissingThoughNothingFollows) {
  LogConfig config;
  config.target = "/dev/full";
  ASSERT_TRUE(openLog(config, "worker 0").ok());
  startLogWriter();
  std::uint64_t dropped = 0;
  for (int i = 0; i < 3; ++i) {
    spdlog::info("lost");
    const std::uint64_t expected = dropped + 1;
    ASSERT_TRUE(eventually([&] { return (dropped += takeDroppedLogLines()) == expected; }));
  }
  UniqueFd file(::open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  changeLogTarget(0, std::move(file));
  EXPECT_TRUE(eventually(
      [&] { return dir_.read("log").find("3 log lines were dropped") != std::string::npos; }));
}

TEST_F(LogTest, WritesARequestAsApacheDoes) {
  open(LogFormat::kCombined);
  AccessRecord odd = record();
  odd.url = "gemini://h/\" 59 1 \"-\"\n\\";
  odd.user = "0123456789abcdef";
  logAccess(odd);
  EXPECT_THAT(dir_.read("log"),
              testing::MatchesRegex(
                  "192\\.0\\.2\\.0 - 0123456789abcdef "
                  "\\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} \\+0000\\] "
                  R"("gemini://h/\\" 59 1 \\"-\\"\\x0a\\\\" 20 1234 "-" "-")"
                  "\n"));
}

TEST_F(LogTest, OfAConnectionWithoutAnAnswerApachesFieldsAreDashes) {
  open(LogFormat::kCombined);
  AccessRecord nothing;
  nothing.client = "-";
  logAccess(nothing);
  EXPECT_TRUE(dir_.read("log").starts_with("- - - [")) << dir_.read("log");
  EXPECT_TRUE(dir_.read("log").ends_with("] \"-\" - 0 \"-\" \"-\"\n")) << dir_.read("log");
}

TEST_F(LogTest, WhatIsNoRequestIsTextWhereRequestsAreApaches) {
  open(LogFormat::kCombined);
  spdlog::warn("the roof is on fire");
  logMoreRefusals(7, "192.0.2.0");
  const std::string log = dir_.read("log");
  EXPECT_NE(log.find("Z warn  worker 0: the roof is on fire\n"), std::string::npos) << log;
  EXPECT_TRUE(log.ends_with("Z info  worker 0: 7 more refused from 192.0.2.0\n")) << log;
}

/// A log with places for messages, for requests and for those of one site.
class LogPlacesOfAWorker : public LogTest {
 protected:
  LogPlacesOfAWorker() {
    config_.log.target = dir_ / "log";
    config_.log.accessTarget = dir_ / "access";
    SiteConfig site;
    site.log = dir_ / "site";
    config_.sites.push_back(site);
  }
  void use(const std::string& access) {
    std::vector<UniqueFd> fds;
    for (const std::string& target : {config_.log.target, access, (dir_ / "site").string()}) {
      auto opened = openLogTarget(target);
      ASSERT_TRUE(opened.ok());
      fds.push_back(std::move(*opened));
    }
    useLogs(config_, "worker 0", std::move(fds));
  }
  std::int64_t lines(const std::string& name) const {
    const std::string all = dir_.read(name);
    return std::count(all.begin(), all.end(), '\n');
  }
  Config config_;
};

TEST_F(LogPlacesOfAWorker, TakeWhatIsTheirs) {
  use(config_.log.accessTarget);
  spdlog::info("a message");
  logAccess(record());
  logMoreRefusals(7, "192.0.2.0");
  logAccess(record(), 2);
  EXPECT_EQ(lines("log"), 1);
  EXPECT_EQ(lines("access"), 2);
  EXPECT_EQ(lines("site"), 1);
}

TEST_F(LogPlacesOfAWorker, AreChangedOneByOne) {
  use(config_.log.accessTarget);
  startLogWriter();
  changeLogTarget(2, std::move(*openLogTarget(dir_ / "new")));
  changeLogTarget(3, std::move(*openLogTarget(dir_ / "none")));
  logAccess(record());
  logAccess(record(), 2);
  closeLog();
  EXPECT_EQ(lines("access"), 1);
  EXPECT_EQ(lines("site"), 0);
  EXPECT_EQ(lines("new"), 1);
  EXPECT_EQ(lines("none"), 0);
}

TEST_F(LogPlacesOfAWorker, AFullOneCostsItsOwnLinesAlone) {
  config_.log.accessTarget = "/dev/full";
  use("/dev/full");
  startLogWriter();
  for (int i = 0; i < 3; ++i) {
    logAccess(record());
    logAccess(record(), 2);
  }
  closeLog();
  EXPECT_EQ(lines("site"), 3);
  EXPECT_EQ(takeDroppedLogLines(), 3u);
}

TEST_F(LogPlacesOfAWorker, AStuckOneHoldsNoOtherUp) {
  FullStderr stuck;
  config_.log.accessTarget = "stderr";
  use("stderr");
  startLogWriter();
  logAccess(record());
  for (int i = 0; i < 3; ++i) {
    spdlog::info("a message");
    EXPECT_TRUE(eventually([&] { return lines("log") == i + 1; }));
  }
  EXPECT_EQ(takeDroppedLogLines(), 0u);
  EXPECT_TRUE(
      eventually([&] { return stuck.drain().find("gemini://h.test/a") != std::string::npos; }));
  closeLog();
  EXPECT_EQ(takeDroppedLogLines(), 0u);
}

TEST_F(LogTest, NeverWaitsForAReaderAndFollowsNoLink) {
  LogConfig config;
  for (const bool isFifo : {true, false}) {
    const auto odd = dir_ / (isFifo ? "fifo" : "link");
    ASSERT_EQ(isFifo ? ::mkfifo(odd.c_str(), 0600) : ::symlink("log", odd.c_str()), 0);
    config.target = odd.string();
    const auto opened = openLogTarget(config.target);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalid);
    EXPECT_NE(opened.error().message.find(isFifo ? "is a FIFO" : "is a symbolic link"),
              std::string::npos)
        << opened.error().message;
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "log"));
}

TEST_F(LogTest, WritesToNoFileThatHasASecondName) {
  LogConfig config;
  config.target = (dir_ / "linked").string();
  dir_.write("precious", "precious");
  std::filesystem::create_hard_link(dir_ / "precious", dir_ / "linked");
  const auto opened = openLogTarget(config.target);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalid);
  EXPECT_NE(opened.error().message.find("has a second name"), std::string::npos);
}

TEST_F(LogTest, SaysWhichTargetItCannotOpen) {
  LogConfig config;
  config.target = (dir_ / "no/such/folder/log").string();
  const auto opened = openLog(config, "master");
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("no/such/folder/log"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
