#include "worker/module/info_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

#include "common/base/version.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(InfoSite, TellsOfTheProgramTheWorkerAndItsTotals) {
  InfoSite site;
  SiteHarness harness;
  harness.shared().slot(2).addAnswer(Protocol::kGemini, 20);
  harness.shared().slot(7).addAnswer(Protocol::kSpartan, 4);
  harness.shared().slot(7).add(Counter::kConnections, 42);
  harness.shared().slot(7).add(Gauge::kOpenConnections, 3);
  const Answer answer = harness.ask(site, requestFor("/info", "/info"));
  EXPECT_EQ(answer.header(), "20 text/gemini");
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  for (const std::string& text :
       {std::string("version: ") + kVersion + "\n", std::string("host: ") + host.data() + "\n",
        std::string("  worker: 2 of 4\n"), std::string("  generation: 3\n"),
        std::string("  uptime: 1 d 01:00:0"), std::string("  connections: 20000\n"),
        std::string("  write timeout: 30s\n"), std::string("  download rate at least: 1KiB/s\n"),
        std::string("  requests: 2\n"), std::string("  connections: 42\n"),
        std::string("  answers 4x: 1\n"), std::string("  open connections: 3\n")}) {
    EXPECT_THAT(answer.body, HasSubstr(text));
  }
  for (const char* pattern :
       {"compiler: .*[0-9]", "POCO: [0-9]+[.][0-9]+", "OpenSSL: 3[.]", "SQLite: 3[.]"}) {
    EXPECT_THAT(answer.body, ContainsRegex(pattern));
  }
  EXPECT_EQ(answer.body.find("/home"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
