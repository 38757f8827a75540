#include "worker/dynamic/script_errors.h"

#include <gtest/gtest.h>

#include "tests/support/captured_log.h"
#include "tests/unit/worker/dynamic/fake_launcher.h"

namespace egalaxyd {
namespace {

class ScriptErrorsTest : public testing::Test {
 protected:
  CapturedLog log_;
  ScriptErrors errors_{"cgi \"/x\"[1]"};
};

TEST_F(ScriptErrorsTest, AreLinesOfTheLog) {
  errors_.add("first\nsec");
  errors_.add("ond\r\n\nlast");
  EXPECT_EQ(log_.text(),
            "info: cgi \"/x\"[1] says: \"first\"\ninfo: cgi \"/x\"[1] says: \"second\"\n");
  errors_.finish();
  EXPECT_TRUE(log_.text().ends_with("says: \"last\"\n"));
}

TEST_F(ScriptErrorsTest, AreQuoted) {
  errors_.add("a \"b\" \x1b[31m\n");
  EXPECT_EQ(log_.text().find('\x1b'), std::string::npos);
}

TEST_F(ScriptErrorsTest, AreCutIntoLines) {
  errors_.add(std::string(1500, 'x') + "\n");
  EXPECT_EQ(log_.text(), "info: cgi \"/x\"[1] says: \"" + std::string(1024, 'x') +
                             "\"\ninfo: cgi \"/x\"[1] says: \"" + std::string(476, 'x') + "\"\n");
}

TEST_F(ScriptErrorsTest, AreCountedWhereTheyAreTooMany) {
  for (int i = 0; i < 100; ++i) errors_.add(std::string(999, 'x') + "\n");
  errors_.finish();
  EXPECT_LT(log_.text().size(), 10'000U);
  EXPECT_TRUE(log_.text().ends_with("info: cgi \"/x\"[1] says 91000 bytes more\n")) << log_.text();
}

TEST(ScriptErrorPipeTest, TellsWhatComesAndAtTheEndTheRest) {
  const CapturedLog log;
  EventLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd writer(ends[1]);
  auto pipe = std::make_unique<ScriptErrorPipe>(loop, UniqueFd(ends[0]), "x");
  writeTo(writer, "one\ntw");
  turnUntil(loop, [&] { return log.text() == "info: x says: \"one\"\n"; });
  writeTo(writer, "o");
  pipe.reset();
  EXPECT_EQ(log.text(), "info: x says: \"one\"\ninfo: x says: \"two\"\n");
}

}  // namespace
}  // namespace egalaxyd
