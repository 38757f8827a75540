#include "master/child/fleet_query.h"

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Parser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/wire/control_protocol.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr WallTime kFleetNow{std::chrono::seconds(1'800'000'000)};

FleetHost hostOf(const std::string& name) {
  return {.name = name,
          .version = "1.0",
          .generation = 1,
          .digest = "aaaaaaaaaaaaaaaa",
          .instance = "i",
          .lag = 0,
          .started = 1,
          .seen = kFleetNow.time_since_epoch().count()};
}

/// As a client reads it.
Poco::JSON::Object::Ptr fleetTold(std::vector<FleetHost> hosts) {
  const auto answer = describeFleet(std::move(hosts), kFleetNow, "a", "i");
  return Poco::JSON::Parser().parse(encodeControlAnswer(answer)).extract<Poco::JSON::Object::Ptr>();
}

std::vector<std::string> remarksOf(std::vector<FleetHost> hosts) {
  std::vector<std::string> texts;
  const auto answer = fleetTold(std::move(hosts));
  for (const auto& each : *answer->getArray("remarks")) texts.push_back(each.toString());
  return texts;
}

TEST(FleetQuery, NamesTheHostsInOrderAndHasNothingToSayOfEqualOnes) {
  const auto answer = fleetTold({hostOf("b"), hostOf("a")});
  const auto hosts = answer->getArray("hosts");
  ASSERT_EQ(hosts->size(), 2U);
  EXPECT_EQ(hosts->getObject(0)->getValue<std::string>("name"), "a");
  EXPECT_EQ(hosts->getObject(0)->getValue<std::string>("state"), "up");
  EXPECT_EQ(answer->getArray("remarks")->size(), 0U);
}

TEST(FleetQuery, TellsHostsOfAnotherConfigurationOrVersion) {
  auto other = hostOf("b");
  other.digest = "bbbbbbbbbbbbbbbb";
  other.version = "1.1";
  EXPECT_THAT(remarksOf({hostOf("a"), other, hostOf("c")}),
              ElementsAre("configurations or certificates differ; make them the same, and reload: "
                          "aaaaaaaaaaaa on a, c; "
                          "bbbbbbbbbbbb on b",
                          "versions differ: 1.0 on a, c; 1.1 on b"));
}

TEST(FleetQuery, AHostThatIsAwayIsNotComparedWithOthers) {
  auto gone = hostOf("b");
  gone.version = "0.9";
  gone.seen -= 60;
  EXPECT_THAT(remarksOf({hostOf("a"), gone}),
              ElementsAre(HasSubstr("b has said nothing for 60 s")));
}

TEST(FleetQuery, TellsOfAnotherHostOfThisOnesName) {
  auto other = hostOf("a");
  other.instance = "another";
  EXPECT_THAT(remarksOf({other, hostOf("b")}),
              ElementsAre(HasSubstr("another host calls itself a, too")));
  other.seen -= 60;  // that was before this one began
  EXPECT_THAT(remarksOf({other}), ElementsAre(HasSubstr("a has said nothing")));
}

TEST(FleetQuery, TellsWhoIsFarBehind) {
  auto late = hostOf("b");
  late.lag = 5'000;
  EXPECT_THAT(remarksOf({hostOf("a"), late}), ElementsAre(HasSubstr("b is 5000 changes")));
}

}  // namespace
}  // namespace egalaxyd
