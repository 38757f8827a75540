#include "worker/dynamic/script_path.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/path.h"

namespace egalaxyd {
namespace {

/// The places that are tried for what a client sent below a mount: "script|PATH_INFO".
std::vector<std::string> places(std::string_view rawPath) {
  const auto path = normalisePathKeepingSlashes(rawPath);
  if (!std::holds_alternative<std::string>(path)) return {"refused"};
  std::vector<std::string> tried;
  for (std::size_t count = 1;; ++count) {
    const auto place = scriptPlace(std::get<std::string>(path), count);
    if (!place) return tried;
    tried.push_back(place->script + "|" + place->pathInfo);
  }
}

TEST(ScriptPath, IsTheShortestPrefixFirst) {
  const std::pair<const char*, std::vector<std::string>> rows[] = {
      {"", {}},
      {"/", {}},
      {"/env", {"env|"}},
      {"/env/", {"env|/"}},
      {"/env/extra/info", {"env|/extra/info", "env/extra|/info", "env/extra/info|"}},
      {"/env/extra/", {"env|/extra/", "env/extra|/"}},
      {"//env//extra//info//", {"env|/extra/info/", "env/extra|/info/", "env/extra/info|/"}},
      {"/env/%2541", {"env|/%41", "env/%41|"}},
  };
  for (const auto& [path, expected] : rows) EXPECT_EQ(places(path), expected) << path;
}

TEST(ScriptPath, HasEncodedSlashesBehindTheScriptAlone) {
  EXPECT_EQ(places("/env/https%3A%2F%2Fe.org/x"),
            (std::vector<std::string>{"env|/https://e.org/x"}));
  EXPECT_EQ(places("/env/a%2F"), (std::vector<std::string>{"env|/a/"}));
  EXPECT_EQ(places("/a%2Fb"), std::vector<std::string>());
  EXPECT_EQ(places("/%2Fenv/x"), std::vector<std::string>());
}

TEST(ScriptPath, LeavesNoMount) {
  for (const char* path : {"/env/a%2F..%2F..%2Fetc", "/env/..%2Fx", "/env/.%2Fx", "/env/%00",
                           "/env/%0a", "/env/%AE", "/%2e%2e/%2e%2e/x"}) {
    EXPECT_EQ(places(path), std::vector<std::string>{"refused"}) << path;
  }
}

TEST(ScriptPath, IsAllPathInfoWhereOneProgramAnswers) {
  EXPECT_EQ(pathInfoOf(""), "");
  EXPECT_EQ(pathInfoOf("/"), "/");
  EXPECT_EQ(pathInfoOf(std::string_view("/a\0\0b/", 6)), "/a//b/");
}

}  // namespace
}  // namespace egalaxyd
