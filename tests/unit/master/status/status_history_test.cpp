#include "master/status/status_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace egalaxyd {
namespace {

using testing::StartsWith;

std::ptrdiff_t rows(const std::string& json) { return std::ranges::count(json, '[') - 1; }

TEST(StatusHistory, GivesWhatIsNewSinceASample) {
  StatusHistory history;
  EXPECT_EQ(history.json(0), "[]");
  history.add({.time = 1000, .requests = 7, .answered = true, .p50 = 0.001, .p90 = 1, .p99 = 2});
  history.add({.time = 3000, .requests = 9, .open = 4, .memoryKib = 5});
  EXPECT_EQ(history.json(0),
            "[[1,1000,7,0,0,0,0,0,0,0.001000,1.000000,2.000000],"
            "[2,3000,9,0,0,0,0,4,5,null,null,null]]");
  EXPECT_EQ(history.json(1), "[[2,3000,9,0,0,0,0,4,5,null,null,null]]");
  EXPECT_EQ(history.json(2), "[]");
}

TEST(StatusHistory, GivesAllToWhoKnowsSamplesOfAnEarlierProcess) {
  StatusHistory history;
  history.add({});
  EXPECT_EQ(rows(history.json(77)), 1);
  EXPECT_EQ(rows(history.json(UINT64_MAX)), 1);
}

TEST(StatusHistory, ForgetsWhatIsOld) {
  StatusHistory history;
  for (std::size_t i = 0; i < StatusHistory::kKept + 10; ++i) history.add({});
  EXPECT_EQ(rows(history.json(0)), static_cast<std::ptrdiff_t>(StatusHistory::kKept));
  EXPECT_EQ(rows(history.json(3)), static_cast<std::ptrdiff_t>(StatusHistory::kKept));
  EXPECT_THAT(history.json(0), StartsWith("[[11,"));
  EXPECT_THAT(history.json(StatusHistory::kKept + 9), StartsWith("[[460,"));
}

TEST(StatusHistory, NamesEachColumn) {
  StatusHistory history;
  history.add({});
  const std::string columns = StatusHistory::kColumns;
  const std::string sample = history.json(0);
  EXPECT_EQ(std::ranges::count(columns, ','), std::ranges::count(sample, ','));
}

}  // namespace
}  // namespace egalaxyd
