#include "common/wire/control_protocol.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

TEST(ControlProtocol, ReadsACommandAndItsArguments) {
  const auto request =
      parseControlRequest(R"({"v":1,"command":"restart","worker":3,"now":true,"why":"a\nb"})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->command, "restart");
  const std::map<std::string, std::string> expected{
      {"worker", "3"}, {"now", "true"}, {"why", "a\nb"}};
  EXPECT_EQ(request->arguments, expected);
}

TEST(ControlProtocol, ReadsWhatItWrites) {
  const ControlRequest request(ControlCommand::kLog, {{"level", "de\"bug\n"}});
  std::string line = encodeControlRequest(request);
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  line.pop_back();
  const auto read = parseControlRequest(line);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->command, request.command);
  EXPECT_EQ(read->arguments, request.arguments);
}

TEST(ControlProtocol, KnowsEveryCommandByItsName) {
  for (std::size_t i = 0; i < kControlCommands.size(); ++i) {
    const auto command = static_cast<ControlCommand>(i);
    ASSERT_NE(nameOf(command), "") << i;
    EXPECT_EQ(parseControlCommand(nameOf(command)), command);
  }
  EXPECT_EQ(parseControlCommand("status "), std::nullopt);
  EXPECT_EQ(parseControlCommand(""), std::nullopt);
}

TEST(ControlProtocol, RefusesNonsense) {
  for (const std::string line :
       {"", " ", "status", "{", "[]", "[1]", "1", "null", "{}", R"({"v":1})",
        R"({"command":"status"})", R"({"v":2,"command":"status"})", R"({"v":1,"command":""})",
        R"({"v":1,"command":{}})", R"({"v":1,"command":"a","b":[]})",
        R"({"v":1,"command":"a","b":null})", R"({"v":1,"command":"a"} x)", "\xff\xfe", "\""}) {
    const auto request = parseControlRequest(line);
    ASSERT_FALSE(request) << line;
    EXPECT_EQ(request.error().code, ErrorCode::kInvalid) << line;
  }
  EXPECT_FALSE(parseControlRequest(std::string(kMaxControlLine, '[')));
}

TEST(ControlProtocol, TellsAFailureWithItsComplaints) {
  EXPECT_EQ(encodeControlAnswer(controlFailure("no", {"a", "b"})),
            "{\"ok\":false,\"error\":\"no\",\"complaints\":[\"a\",\"b\"]}\n");
  EXPECT_EQ(encodeControlAnswer(controlFailure("no")), "{\"ok\":false,\"error\":\"no\"}\n");
}

}  // namespace
}  // namespace egalaxyd
