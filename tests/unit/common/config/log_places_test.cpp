#include "common/config/log_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/config_check.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;

class LogPlacesTest : public testing::Test {
 protected:
  std::vector<std::string> targets() const {
    std::vector<std::string> names;
    for (const LogPlace& place : logPlaces(config_)) names.push_back(place.target);
    return names;
  }
  SiteConfig& site(const std::string& host, const std::string& log) {
    SiteConfig site;
    site.host = host;
    site.dottedKey = "sites." + host;
    site.log = log;
    return config_.sites.emplace_back(std::move(site));
  }
  std::size_t placeOf(const SiteConfig* site) const {
    return accessPlace(config_, logPlaces(config_), site);
  }

  Config config_;
};

TEST_F(LogPlacesTest, IsOneWhereNothingElseIsNamed) {
  site("a", "");
  EXPECT_THAT(targets(), ElementsAre("stderr"));
  EXPECT_EQ(placeOf(nullptr), 0u);
  EXPECT_EQ(placeOf(&config_.sites[0]), 0u);
}

TEST_F(LogPlacesTest, AreThereOnceEach) {
  config_.log.accessTarget = "/log/access";
  site("a", "/log/a");
  site("b", "/log/access");
  site("c", "/log/a");
  site("d", "");
  EXPECT_THAT(targets(), ElementsAre("stderr", "/log/access", "/log/a"));
  EXPECT_EQ(placeOf(nullptr), 1u);
  const std::size_t expected[] = {2, 1, 2, 1};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(placeOf(&config_.sites[i]), expected[i]) << i;
}

TEST_F(LogPlacesTest, AreNotOpenedForLinesThatNobodyWrites) {
  config_.log.access = false;
  config_.log.accessTarget = "/log/access";
  site("a", "/log/a");
  EXPECT_THAT(targets(), ElementsAre("stderr"));
  EXPECT_EQ(placeOf(&config_.sites[0]), 0u);
}

TEST_F(LogPlacesTest, AreBounded) {
  const auto complaints = [&] {
    Complaints about;
    for (const Complaint& complaint : checkConfig(config_)) {
      if (complaint.where.ends_with(".log")) about.push_back(complaint);
    }
    return about;
  };
  for (std::size_t i = 1; i < kMostLogs; ++i) {
    site("h" + std::to_string(i), "/log/" + std::to_string(i));
  }
  EXPECT_EQ(complaints().size(), 0u);
  for (int i = 0; i < 10'000; ++i) site("more" + std::to_string(i), "/log/m" + std::to_string(i));
  const Complaints about = complaints();
  ASSERT_EQ(about.size(), 1u);
  EXPECT_EQ(about[0].where, "sites.more0.log");
  EXPECT_NE(about[0].text.find("allowed: 128"), std::string::npos) << about[0].text;
}

}  // namespace
}  // namespace egalaxyd
