#include "common/log.h"

#include <Poco/JSON/Object.h>
#include <Poco/JSON/Parser.h>
#include <gtest/gtest.h>

#include <filesystem>

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
  ASSERT_TRUE(reopenLog().ok());
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

TEST_F(LogTest, SaysWhichTargetItCannotOpen) {
  LogConfig config;
  config.target = (dir_ / "no/such/folder/log").string();
  const auto opened = openLog(config, "master");
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("no/such/folder/log"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
