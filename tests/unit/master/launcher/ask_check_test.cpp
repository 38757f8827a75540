#include "master/launcher/ask_check.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/shared/script_names.h"

namespace egalaxyd {
namespace {

class AskCheckTest : public testing::Test {
 protected:
  AskCheckTest() {
    plan_.mounts.resize(2);
    plan_.mounts[0].number = 4;
    plan_.mounts[0].root = "/srv/cgi-bin";
    plan_.mounts[1].number = 9;
    plan_.mounts[1].program = "/usr/bin/app";
  }
  std::string lie(const RunScript& ask) const { return lieOf(ask, mountOf(plan_, ask.mount)); }
  std::string lieOfPath(std::string script) const {
    RunScript ask;
    ask.mount = 4;
    ask.script = std::move(script);
    return lie(ask);
  }

  LauncherPlan plan_;
};

TEST_F(AskCheckTest, TakesWhatWorkersAsk) {
  RunScript ask;
  ask.mount = 4;
  ask.script = "a/..b/.c";
  ask.variables = {{0, "CGI/1.1"}, {17, "/x\ny"}};
  ask.body = "123-4";
  ask.client = "192.0.2.1";
  EXPECT_EQ(lie(ask), "");
}

TEST_F(AskCheckTest, RefusesPathsThatLeaveTheRoot) {
  using std::string_literals::operator""s;
  EXPECT_EQ(lieOfPath("a"), "");
  for (const auto& path :
       {"../../bin/sh"s, "/bin/sh"s, "a/../b"s, ".."s, "."s, "a//b"s, "a/"s, "a\0b"s}) {
    EXPECT_NE(lieOfPath(path), "") << path;
  }
}

TEST_F(AskCheckTest, ApplicationsOfUsersAreAskedForByTheNamesThatTheyMayHave) {
  const auto lieOfUser = [this](std::uint32_t upstream, const char* user) {
    return lieOf(DialUpstream{1, upstream, user}, upstreamOf(plan_, upstream));
  };
  plan_.upstreams = {{.number = 2, .address = "unix:/run/app.sock"},
                     {.number = 5, .address = "unix:%home%/s", .users = {"alice"}},
                     {.number = 6, .address = "unix:%home%/s", .users = {"*"}}};
  EXPECT_EQ(lieOfUser(2, ""), "");
  EXPECT_EQ(lieOfUser(5, "alice"), "");
  EXPECT_EQ(lieOfUser(6, "bob"), "");
  EXPECT_NE(lieOfUser(1, ""), "");
  EXPECT_NE(lieOfUser(2, "alice"), "");
  EXPECT_NE(lieOfUser(5, "bob"), "");
  for (const char* name : {"", "*", "../etc", "a/b", "Alice"}) EXPECT_NE(lieOfUser(6, name), "");
}

TEST_F(AskCheckTest, ScriptsOfAnyUserBeginWithAName) {
  plan_.mounts[0].anyUser = true;
  EXPECT_EQ(lieOfPath("alice/a"), "");
  EXPECT_EQ(lieOfPath("alice/a/b"), "");
  for (const char* path : {"alice", "alice/", "alice/../bob", "../a", "Alice/a", "/alice/a", ".a/b",
                           "a.b/c", "alice/./a", "-/a"}) {
    EXPECT_NE(lieOfPath(path), "") << path;
  }
}

TEST_F(AskCheckTest, KnowsWhichMountsHaveScripts) {
  EXPECT_NE(lieOfPath(""), "") << "a root is no script";
  RunScript ask;
  ask.mount = 9;
  EXPECT_EQ(lie(ask), "");
  ask.script = "a";
  EXPECT_NE(lie(ask), "") << "that mount has one program";
  ask.mount = 5;
  EXPECT_NE(lie(ask), "") << "there is no such mount";
}

TEST_F(AskCheckTest, RefusesVariablesThatDoNotExistOrAreTooMany) {
  RunScript ask;
  ask.mount = 9;
  ask.variables = {{kScriptVariables.size(), "x"}};
  EXPECT_NE(lie(ask), "");
  ask.variables = {{0, std::string("a\0b", 3)}};
  EXPECT_NE(lie(ask), "");
  ask.variables = {{0, std::string(kMostVariableBytes, 'x')}};
  EXPECT_NE(lie(ask), "");
}

TEST_F(AskCheckTest, RefusesBodiesOutsideTheSpool) {
  RunScript ask;
  ask.mount = 9;
  for (const char* body : {"../db", "a", ".", "1/2"}) {
    ask.body = body;
    EXPECT_NE(lie(ask), "") << body;
  }
}

}  // namespace
}  // namespace egalaxyd
