#include "common/config/install_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/config_loader.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kPlaces = R"(
[sites."example.org"]
root = "/a"
aliases = ["www.example.org"]
[sites."*.wild.test"]
root = "/a"
[sites."own.test"]
root = "/a"
certificate = "/own.crt"
key = "/own.key"
)";

Result<InstallPlace> placeIn(const std::string& toml, const std::string& host) {
  return placeToInstall(parseConfig(toml, "/e.toml").config, host);
}

TEST(PlaceToInstall, IsThatOfTheSiteWhichServesTheHost) {
  const auto place = placeIn(kPlaces, "WWW.example.org");
  ASSERT_TRUE(place) << place.error().message;
  EXPECT_EQ(place->host, "example.org");
  EXPECT_THAT(place->names, ElementsAre("example.org", "www.example.org"));
  for (const char* host : {"a.wild.test", "*.wild.test"}) {
    const auto wild = placeIn(kPlaces, host);
    ASSERT_TRUE(wild) << wild.error().message;
    EXPECT_EQ(wild->host, "*.wild.test");
  }
  const auto any = placeIn("[sites.\"*\"]\nroot = \"/a\"\n", "what.ever");
  ASSERT_TRUE(any) << any.error().message;
  EXPECT_EQ(any->host, "*");
}

TEST(PlaceToInstall, IsRefusedInWords) {
  const auto unknown = placeIn(kPlaces, "exmaple.org");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(unknown.error().message, HasSubstr("did you mean example.org?"));
  const auto own = placeIn(kPlaces, "own.test");
  ASSERT_FALSE(own);
  EXPECT_EQ(own.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(own.error().message, HasSubstr("/own.crt"));
  const auto general =
      placeIn("[tls]\ncertificate = \"/all.crt\"\nkey = \"/all.key\"\n" + std::string(kPlaces),
              "example.org");
  ASSERT_FALSE(general);
  EXPECT_THAT(general.error().message, HasSubstr("tls.certificate"));
}

}  // namespace
}  // namespace egalaxyd
