#include "master/status/status_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string figures(const std::string& state, const std::string& workers) {
  return R"({"status":{"state":")" + state + R"(","generation":2,"workers":[)" + workers +
         R"(]},"statistics":{"generation":2,"open":3,"master_pss_kib":100,)"
         R"("gauges":{"scripts_running":6},"totals":)"
         R"({"requests":7,"rate_limited":1,"bytes_out":2,"uploads_stored":4},)"
         R"("answers":{"gemini":{"20":5,"42":2,"51":9},"spartan":{"5":1}},"latencies":{},)"
         R"("certificate_ends":[],"workers":[{"slot":0,"generation":2,"pid":1,"pss_kib":50}]}})";
}

const char* const kReady = R"({"generation":2,"state":"ready"})";

std::string troubleOf(const std::string& json) {
  StatusSample sample;
  const auto read = readFigures(json, sample);
  return read ? read.value().trouble : "unread: " + read.error().message;
}

TEST(StatusBoard, ReadsASampleOutOfTheFigures) {
  StatusSample sample;
  const auto read = readFigures(figures("serving", kReady), sample);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read.value().metrics, HasSubstr("\negalaxyd_requests_total 7\n"));
  EXPECT_THAT(read.value().metrics, HasSubstr("\negalaxyd_scripts_running 6\n"));
  EXPECT_EQ(sample.requests, 7u);
  EXPECT_EQ(sample.failed, 3u) << "an answer that tells of this server's own trouble";
  EXPECT_EQ(sample.rateLimited, 1u);
  EXPECT_EQ(sample.uploads, 4u);
  EXPECT_EQ(sample.open, 3);
  EXPECT_EQ(sample.memoryKib, 150u);
}

TEST(StatusBoard, MetricsNameUpstreams) {
  std::string json = figures("serving", kReady);
  json.insert(
      json.find(R"("certificate_ends")"),
      R"("upstreams":[{"address":"unix:/a\"b","host":"h.test","mount":"/old","state":"aside",)"
      R"("connections":2,"answered":7,"failed":1},)"
      R"({"address":"[::1]:1966","host":"h.test","mount":"/uncounted"}],)");
  StatusSample sample;
  const auto read = readFigures(json, sample);
  ASSERT_TRUE(read) << read.error().message;
  const std::string labels = R"({host="h.test",mount="/old",upstream="unix:/a\"b")";
  EXPECT_THAT(read.value().metrics, HasSubstr("\negalaxyd_upstream_up" + labels + "} 0\n"));
  EXPECT_THAT(read.value().metrics,
              HasSubstr("\negalaxyd_upstream_connections" + labels + "} 2\n"));
  EXPECT_THAT(read.value().metrics, HasSubstr("\negalaxyd_upstream_requests_total" + labels +
                                              ",outcome=\"answered\"} 7\n"));
  EXPECT_THAT(read.value().metrics, Not(HasSubstr("uncounted")));
}

TEST(StatusBoard, AServerIsWellWhenAWorkerOfItsGenerationIsReady) {
  EXPECT_EQ(troubleOf(figures("serving", kReady)), "");
  EXPECT_EQ(troubleOf(figures("starting", kReady)), "The server is starting.");
  EXPECT_EQ(troubleOf(figures("stopping", kReady)), "The server is stopping.");
  EXPECT_EQ(troubleOf(figures("serving", "")), "No worker is ready.");
  EXPECT_EQ(troubleOf(figures("serving", R"({"generation":1,"state":"ready"})")),
            "No worker is ready.");
  EXPECT_EQ(troubleOf(figures("serving", R"({"generation":2,"state":"starting"})")),
            "No worker is ready.");
}

TEST(StatusBoard, NonsenseIsAnError) {
  for (const char* nonsense : {"", "[]", "{}", "null", R"({"status":{},"statistics":{}})", "{"}) {
    EXPECT_THAT(troubleOf(nonsense), StartsWith("unread: ")) << nonsense;
  }
}

TEST(StatusBoard, SaysThatItHasNoFigures) {
  StatusBoard board;
  EXPECT_EQ(board.metrics(), "");
  EXPECT_THAT(board.trouble(), HasSubstr("not told yet"));
  EXPECT_THAT(board.json(0), HasSubstr(R"("figures":null)"));
  board.put({"{}", "a 1\n", ""}, {.time = 5}, 99);
  EXPECT_EQ(board.metrics(), "a 1\n");
  EXPECT_EQ(board.trouble(), "");
  EXPECT_THAT(board.json(0), HasSubstr(R"("figures":{})"));
  EXPECT_THAT(board.json(0), HasSubstr("[[1,5,"));
  EXPECT_THAT(board.json(0), HasSubstr(R"("pss_kib":99)"));
}

}  // namespace
}  // namespace egalaxyd
