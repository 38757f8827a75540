#include "master/start/url_trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "master/supervise/listener_set.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class UrlTrialTest : public testing::Test {
 protected:
  UrlTrialTest() {
    ListenConfig config;
    config.gemini = {{"127.0.0.1", 0}};
    config.spartan = {};
    auto opened = ListenerSet::open(config, {}, {});
    if (opened) listening = std::move(*opened);
    port = listening.sockets().at(0).port;
  }

  static std::string troubleWith(const std::string& host, std::uint16_t at) {
    return tryUrls({{"gemini://x/", host, at}}).at(0);
  }

  ListenerSet listening;
  std::uint16_t port = 0;
};

TEST_F(UrlTrialTest, IsContentWithWhatTakesAConnection) {
  EXPECT_EQ(troubleWith("127.0.0.1", port), "");
}

TEST_F(UrlTrialTest, SaysWhatTakesNone) {
  EXPECT_THAT(troubleWith("127.0.0.2", port), HasSubstr("127.0.0.2: Connection refused"));
}

TEST_F(UrlTrialTest, ConnectsToThisMachineAlone) {
  // Of a block for documentation (RFC 5737).
  EXPECT_EQ(troubleWith("192.0.2.1", port),
            "192.0.2.1 leads to 192.0.2.1, which is not this machine");
}

TEST_F(UrlTrialTest, SaysThatANameIsNotKnown) {
  EXPECT_THAT(troubleWith("no_such..name", port), HasSubstr("no_such..name is not known here"));
}

TEST_F(UrlTrialTest, JudgesEachForItself) {
  std::vector<ServedUrl> urls = {{"a", "127.0.0.2", port}, {"b", "127.0.0.1", port}};
  noteTrial(encodeTrial(tryUrls(urls)), urls);
  EXPECT_NE(urls[0].trouble, "");
  EXPECT_EQ(urls[1].trouble, "");
  noteTrial("one\n", urls);  // as of a process that was killed
  EXPECT_EQ(urls[0].trouble, "one");
  EXPECT_EQ(urls[1].trouble, "");
  EXPECT_TRUE(tryUrls({}).empty());
}

}  // namespace
}  // namespace egalaxyd
