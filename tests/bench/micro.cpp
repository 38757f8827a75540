// What the pure steps of a request cost: nanoseconds, for comparing two versions of the code.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/path.h"
#include "common/config/redirect_rules.h"
#include "common/wire/uri.h"
#include "worker/protocol/gemini_encoder.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/route/router.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kShortUrl = "gemini://example.org/";
constexpr std::string_view kTypicalUrl = "gemini://example.org/gemlog/2024/a%20page.gmi?q=a%20word";

std::string longUrl() { return "gemini://example.org/" + std::string(1000, 'a'); }

void parsesAUri(benchmark::State& state, const std::string& url) {
  for (auto _ : state) benchmark::DoNotOptimize(parseUri(url));
}
BENCHMARK_CAPTURE(parsesAUri, short, std::string(kShortUrl));
BENCHMARK_CAPTURE(parsesAUri, typical, std::string(kTypicalUrl));
BENCHMARK_CAPTURE(parsesAUri, longest, longUrl());

void normalisesAPath(benchmark::State& state, const std::string& path) {
  for (auto _ : state) benchmark::DoNotOptimize(normalisePath(path));
}
BENCHMARK_CAPTURE(normalisesAPath, root, std::string("/"));
BENCHMARK_CAPTURE(normalisesAPath, typical, std::string("/gemlog/2024/a%20page.gmi"));
BENCHMARK_CAPTURE(normalisesAPath, dots, std::string("/a/b/../c/./../d//e/%2e%2e/f"));

/// `piece`: bytes per call of feed().
void parsesARequestLine(benchmark::State& state) {
  const std::string line = std::string(kTypicalUrl) + "\r\n";
  const auto piece = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    GeminiParser parser;
    std::string_view rest = line;
    ParseStep step = NeedMore{};
    while (!rest.empty() && std::holds_alternative<NeedMore>(step)) {
      std::size_t consumed = 0;
      step = parser.feed(rest.substr(0, piece), consumed);
      rest.remove_prefix(consumed);
    }
    benchmark::DoNotOptimize(step);
  }
}
BENCHMARK(parsesARequestLine)->ArgName("piece")->Arg(1024)->Arg(16)->Arg(1);

void encodesAHeader(benchmark::State& state) {
  Response response;
  response.status = Status::kSuccess;
  response.meta = "text/gemini; charset=utf-8; lang=en";
  for (auto _ : state) benchmark::DoNotOptimize(encodeGeminiHeader(response));
}
BENCHMARK(encodesAHeader);

class NoSite final : public Site {
 public:
  void handle(Request, Responder, Services&) override {}
};

void findsASite(benchmark::State& state) {
  const auto site = std::make_shared<NoSite>();
  PathMap map;
  map.add("/", site);
  for (int i = 1; i < state.range(0); ++i) map.add("/mount/" + std::to_string(i), site);
  const std::string path = "/mount/" + std::to_string(state.range(0) / 2) + "/2024/a/page.gmi";
  for (auto _ : state) benchmark::DoNotOptimize(map.find(path));
}
BENCHMARK(findsASite)->ArgName("mounts")->Arg(10)->Arg(1'000)->Arg(10'000);

/// What redirects by pattern cost a page that none of them matches.
void passesRedirects(benchmark::State& state) {
  std::vector<PatternRedirect> redirects;
  for (int i = 0; i < state.range(0); ++i) {
    redirects.push_back({"^/old" + std::to_string(i) + R"(/(\d+)$)", "/new/$1"});
  }
  const RedirectRules rules(redirects);
  const std::string path = "/gemlog/2024/a page.gmi";
  for (auto _ : state) benchmark::DoNotOptimize(rules.match(path));
}
BENCHMARK(passesRedirects)->ArgName("patterns")->Arg(0)->Arg(1)->Arg(100)->Arg(1'000);

}  // namespace
}  // namespace egalaxyd

BENCHMARK_MAIN();
