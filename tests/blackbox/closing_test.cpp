// How connections end: protocols, section 6.3.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class Closing : public testing::Test {
 protected:
  void SetUp() override { capsule.page("index.gmi", "# Welcome\n"); }

  Capsule capsule;
};

TEST_F(Closing, LetsAClientReadItsAnswerThatIsStillSending) {
  capsule.start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/missing") + "\r\n");
  for (int i = 0; i < 16; ++i) client.send(std::string(8000, 'x'));
  const Reply reply = client.readReply();
  EXPECT_EQ(reply.status, 51) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Closing, AnswersInFullAfterTheClientsHalfClose) {
  capsule.page("large.gmi", std::string(300'000, 'x'));
  capsule.start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsSettings settings;
    settings.maxVersion = version;
    GeminiClient client(capsule.port(), settings);
    ASSERT_TRUE(client.handshake());
    client.send(capsule.url("/large.gmi") + "\r\n");
    client.closeNotify();
    client.tcp().finish();
    const Reply reply = client.readReply();
    EXPECT_EQ(reply.status, 20) << reply;
    EXPECT_EQ(reply.body.size(), 300'000U) << reply;
    EXPECT_TRUE(reply.complete()) << reply;
  }
}

TEST_F(Closing, LosesNothingWhenASlowReaderSaysGoodbyeEarly) {
  capsule.page("large.gmi", std::string(300'000, 'x'));
  capsule.start();
  TlsSettings settings;
  settings.tcp.receiveBuffer = 16 * 1024;
  GeminiClient client(capsule.port(), settings);
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/large.gmi") + "\r\n");
  // The server has nothing more to do, the kernel holds what the client has not read.
  eventually([&] { return capsule.logContains("/large.gmi\""); }, std::chrono::seconds(2));
  client.closeNotify();
  const Reply reply = client.readReply();
  EXPECT_EQ(reply.body.size(), 300'000U) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Closing, SurvivesClientsThatVanish) {
  capsule.page("large.bin", std::string(20'000'000, 'x'));
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  for (int i = 0; i < 10; ++i) {
    GeminiClient early(capsule.port());
    ASSERT_TRUE(early.handshake());
    early.send(capsule.url("/large.bin") + "\r\n");
    early.tcp().reset();
    GeminiClient late(capsule.port());
    ASSERT_TRUE(late.handshake());
    late.send(capsule.url("/large.bin") + "\r\n");
    EXPECT_NE(late.read(1000), "");
    late.tcp().reset();
  }
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(capsule.workerPids(), workers);
}

}  // namespace
}  // namespace egalaxyd
