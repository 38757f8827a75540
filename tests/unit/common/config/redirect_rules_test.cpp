#include "common/config/redirect_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/memory_use.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

std::string targetOf(const std::vector<PatternRedirect>& redirects, std::string_view path) {
  const RedirectRules rules(redirects);
  EXPECT_TRUE(rules.faults().empty()) << rules.faults().front().text;
  const auto target = rules.find(path);
  EXPECT_EQ(target.has_value(), rules.match(path));
  return target ? target->url : "none";
}

TEST(RedirectRules, FillInWhatTheGroupsHold) {
  const std::vector<PatternRedirect> log{{R"(^/log/(\d+)$)", "/gemlog/$1"}};
  EXPECT_EQ(targetOf(log, "/log/7"), "/gemlog/7");
  EXPECT_EQ(targetOf(log, "/log/7/"), "none");
  EXPECT_EQ(targetOf(log, "/log/x"), "none");
  EXPECT_EQ(targetOf(log, "/my/log/7"), "none");
  EXPECT_EQ(targetOf({{"^/(.)(.)(.)(.)(.)(.)(.)(.)(.)$", "/$9$8$7$6$5$4$3$2$1"}}, "/abcdefghi"),
            "/ihgfedcba");
  EXPECT_EQ(targetOf({{"^/a", "/5$$"}}, "/a"), "/5$");
  EXPECT_EQ(targetOf({{"^/a(b)?$", "/x$1"}}, "/a"), "/x") << "a group that took no part";
  EXPECT_EQ(targetOf({{"/caf(\xC3\xA9+)", "/$1"}}, "/caf\xC3\xA9"), "/%C3%A9");
}

TEST(RedirectRules, TheFirstInTheOrderOfTheFileCounts) {
  const std::vector<PatternRedirect> rules{{"b", "/1"}, {"^/a", "/2", true}, {"^/ab", "/3"}};
  EXPECT_EQ(targetOf(rules, "/ab"), "/1");
  EXPECT_EQ(targetOf(rules, "/ac"), "/2");
  EXPECT_TRUE(RedirectRules(rules).find("/ac")->permanent);
  EXPECT_FALSE(RedirectRules(rules).find("/ab")->permanent);
}

TEST(RedirectRules, AGroupNeverLeadsToAnotherHost) {
  const auto all = [](std::string to) {
    return std::vector<PatternRedirect>{{"^/old(.*)$", std::move(to)}};
  };
  EXPECT_EQ(targetOf(all("/$1"), "/old/evil.example/x"), "/evil.example/x");
  EXPECT_EQ(targetOf(all("/$1/evil.example"), "/old"), "/evil.example");
  EXPECT_EQ(targetOf(all("/$1/$1/$1evil.example"), "/old"), "/evil.example");
  EXPECT_EQ(targetOf(all("/$1"), "/old\\evil.example"), "/%5Cevil.example");
  EXPECT_EQ(targetOf(all("/$1"), "/old?x#y z%0d"), "/%3Fx%23y%20z%250d");
  EXPECT_EQ(targetOf(all("/$1"), "/old\r\n20 text/gemini"), "none") << "a dot is no line end";
  EXPECT_EQ(targetOf({{"^/old((?s).*)$", "/$1"}}, "/old\r\n20"), "/%0D%0A20");
  EXPECT_EQ(targetOf({{"^/old(\\C)", "/$1"}}, "/old\xC3\xA9"), "/%C3") << "half a character";
  EXPECT_EQ(targetOf(all("gemini://other.example/$1"), "/old/@evil"),
            "gemini://other.example/@evil");
  EXPECT_EQ(targetOf(all("gemini://other.example:1966/x?$1"), "/olda?b"),
            "gemini://other.example:1966/x?a%3Fb");
}

/// "from: …" or "to: …", of one rule.
std::string faultOf(std::string from, std::string to) {
  const RedirectRules rules(std::vector<PatternRedirect>{{std::move(from), std::move(to)}});
  if (rules.faults().size() != 1 || rules.match("/a")) return "none";
  return std::string(rules.faults()[0].key) + ": " + rules.faults()[0].text;
}

TEST(RedirectRules, SayWhatIsWrongInRe2sWords) {
  EXPECT_THAT(faultOf("", "/"), HasSubstr("from: is missing or empty"));
  EXPECT_THAT(faultOf("^/(a$", "/"), HasSubstr("missing ): ^/(a$"));
  EXPECT_THAT(faultOf("^/a(?=b)", "/"), HasSubstr("invalid perl operator: (?="));
  EXPECT_THAT(faultOf(R"(^/(a)\1$)", "/"), HasSubstr(R"(invalid escape sequence: \1)"));
  EXPECT_THAT(faultOf("((((a{100}){100}){100}){100})", "/"), HasSubstr("from: "));
  EXPECT_THAT(faultOf(std::string(1025, 'a'), "/"), HasSubstr("from: found 1025 bytes"));
  EXPECT_THAT(faultOf("^/a", ""), HasSubstr("to: is missing or empty"));
  EXPECT_THAT(faultOf("^/a", "/$1"), HasSubstr("to: found $1, but from has 0 groups"));
  EXPECT_THAT(faultOf("^/(a)", "/$2"), HasSubstr("to: found $2, but from has 1 group;"));
  EXPECT_THAT(faultOf("^/(a)", "/$0"), HasSubstr("allowed: $1 to $9, and $$"));
  EXPECT_THAT(faultOf("^/(a)", "/$"), HasSubstr("allowed: $1 to $9, and $$"));
  EXPECT_THAT(faultOf("^/(a)", "/${1}"), HasSubstr("allowed: $1 to $9, and $$"));
  EXPECT_THAT(faultOf("^/(a)", "b/$1"), HasSubstr("neither a path nor a URL"));
  EXPECT_THAT(faultOf("^/(a)", "$1"), HasSubstr("neither a path nor a URL"));
  EXPECT_THAT(faultOf("^/(a)", "//b/$1"), HasSubstr("another host; write the URL whole"));
  EXPECT_THAT(faultOf("^/(a)", "/\\b/$1"), HasSubstr("another host"));
  EXPECT_THAT(faultOf("^/(a)", "/new%path%"), HasSubstr("write $1"));
  EXPECT_THAT(faultOf("^/(a)", "/a b"), HasSubstr("percent-encoded"));
  EXPECT_THAT(faultOf("^/(a)", "/a\r\nb"), HasSubstr("percent-encoded"));
  EXPECT_THAT(faultOf("^/(a)", "/%zz"), HasSubstr("to: found"));
}

TEST(RedirectRules, TheHostOfAUrlIsTheOperators) {
  for (const char* to : {"gemini://$1/", "gemini://$1", "gemini://b.$1/", "gemini://b$1",
                         "gemini://b:$1/", "$1://b/", "gemini://b.example$1/x"}) {
    EXPECT_THAT(faultOf("^/(a)", to), HasSubstr("found a group in the host")) << to;
  }
  EXPECT_EQ(faultOf("^/(x)", "gemini://b/$1"), "none");
  EXPECT_EQ(faultOf("^/(x)", "gemini://b"), "none");
  EXPECT_EQ(faultOf("^/(x)", "gemini://b?$1"), "none");
}

std::vector<PatternRedirect> many(std::size_t count) {
  std::vector<PatternRedirect> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back({"^/old" + std::to_string(i) + R"(/(.*)-(\d+)$)", "/new/$1/$2"});
  }
  return all;
}

TEST(RedirectRules, AThousandAreFoundAndMoreRefused) {
  const RedirectRules rules(many(kMostRedirects));
  ASSERT_TRUE(rules.faults().empty()) << rules.faults().front().text;
  EXPECT_EQ(rules.find("/old999/a/b-12")->url, "/new/a/b/12");
  EXPECT_FALSE(rules.match("/old1000/a-1"));
  EXPECT_THAT(RedirectRules(many(kMostRedirects + 1)).faults().at(0).text,
              HasSubstr("allowed: at most 1000"));
}

TEST(RedirectRules, WhatTheyKeepOfPathsIsBounded) {
  std::vector<PatternRedirect> all = many(100);
  for (int i = 0; i < 20; ++i) all.push_back({"(a|b)*a(a|b){12}" + std::to_string(i), "/$1"});
  const RedirectRules rules(all);
  ASSERT_TRUE(rules.faults().empty()) << rules.faults().front().text;
  const MemoryUse memory;
  const std::uint64_t before = memory.kib().value_or(0);
  std::uint32_t random = 1;
  for (int i = 0; i < 3000; ++i) {
    std::string path = "/";
    for (int j = 0; j < 200; ++j) {
      random = random * 1664525U + 1013904223U;
      path += (random >> 30U) % 2 == 0 ? 'a' : 'b';
    }
    EXPECT_FALSE(rules.match(path));
  }
#ifndef EGALAXYD_SANITIZED
  EXPECT_LT(memory.kib().value_or(0), before + 24 * 1024);
#endif
  EXPECT_GE(memory.kib().value_or(0), before / 2);
}

}  // namespace
}  // namespace egalaxyd
