// The access log: one true line per request, whatever the client sends.
#include <Poco/JSON/Object.h>
#include <Poco/JSON/Parser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class AccessLog : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("large.bin", std::string(100'000, 'x'));
  }

  std::vector<std::string> linesWith(const std::string& text) const {
    std::vector<std::string> lines;
    std::istringstream in(capsule.log());
    for (std::string line; std::getline(in, line);) {
      if (line.find(text) != std::string::npos) lines.push_back(line);
    }
    return lines;
  }
  /// The one line with this text, once it is there.
  std::string lineWith(const std::string& text) const {
    EXPECT_TRUE(capsule.waitForLog(text)) << text << " is missing in:\n" << capsule.log();
    const std::vector<std::string> lines = linesWith(text);
    EXPECT_THAT(lines, SizeIs(1));
    return lines.empty() ? "" : lines[0];
  }
  /// Stops the server, so that everything was written.
  void finish() { capsule.stop(); }

  Capsule capsule;
};

TEST_F(AccessLog, HasOneLinePerRequest) {
  capsule.start();
  for (int i = 0; i < 10; ++i) capsule.get("/missing-" + std::to_string(i) + "?q");
  exchange(capsule.port(), "nonsense\r\n");
  finish();
  for (int i = 0; i < 10; ++i) {
    const std::string line = lineWith("/missing-" + std::to_string(i) + "?q\"");
    EXPECT_THAT(line, HasSubstr("gemini 51 "));
    EXPECT_THAT(line, HasSubstr("ended=\"ok\""));
  }
  lineWith("gemini 59 ");
}

TEST_F(AccessLog, ShowsTheBeginningOfARefusedLine) {
  capsule.start();
  exchange(capsule.port(), "gemini://elsewhere.test/" + std::string(900, 'x') + "\r\n");
  const std::string line = lineWith("gemini 53 ");
  EXPECT_THAT(line, HasSubstr("/" + std::string(176, 'x') + "\""));
}

TEST_F(AccessLog, TellsTheTrueSizeAndType) {
  capsule.start();
  const Reply reply = capsule.get("/large.bin");
  finish();
  const std::string line = lineWith("/large.bin");
  EXPECT_THAT(line, HasSubstr("gemini 20 "));
  EXPECT_THAT(line, HasSubstr("application/octet-stream"));
  const std::size_t bytes = reply.header.size() + 2 + reply.body.size();
  EXPECT_THAT(line, HasSubstr(" " + std::to_string(bytes) + "B "));
}

TEST_F(AccessLog, TellsThatAClientLeftEarly) {
  capsule.page("huge.bin", std::string(20'000'000, 'x'));
  capsule.start();
  TlsSettings settings;
  settings.tcp.receiveBuffer = 16 * 1024;
  GeminiClient client(capsule.port(), settings);
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/huge.bin") + "\r\n");
  client.read(1000);
  client.tcp().reset();
  const std::string line = lineWith("/huge.bin");
  EXPECT_THAT(line, testing::Not(HasSubstr("ended=\"ok\"")));
  EXPECT_THAT(line, testing::Not(HasSubstr(" 20000000B ")));
}

TEST_F(AccessLog, MasksAddressesAsConfigured) {
  TlsSettings settings;
  settings.tcp.from = "127.9.8.7";
  const std::pair<const char*, const char*> masks[] = {
      {"masked", "127.9.8.0"}, {"full", "127.9.8.7"}, {"off", ""}};
  for (const auto& [mask, shown] : masks) {
    capsule.set("log.client_ip", std::string("\"") + mask + "\"");
    capsule.start();
    EXPECT_EQ(capsule.get("/", settings).status, 20);
    finish();
    const std::string line = lineWith("gemini 20 ");
    EXPECT_THAT(line, HasSubstr(shown)) << mask;
    const std::string log = capsule.log();
    EXPECT_EQ(log.find("127.9.8.7") != std::string::npos, std::string(mask) == "full") << log;
    EXPECT_EQ(log.find("127.9.8.") == std::string::npos, std::string(mask) == "off") << log;
  }
}

TEST_F(AccessLog, CannotBeForged) {
  using namespace std::string_literals;
  capsule.start();
  TlsSettings another;  // each time: of one client, only the first in a second is logged
  int number = 1;
  for (const std::string& line :
       {"gemini://localhost/\ngemini 20 forged\r\n"s, "gemini://localhost/\x1B[31mred\r\n"s,
        "gemini://localhost/\" 20 \"quote\r\n"s, "gemini://localhost/\0nul\r\n"s,
        "gemini://localhost/\xFF\xFE\r\n"s,
        "gemini://localhost/\xC2\x9B"
        "31m\r\n"s,
        "gemini://localhost/%0Aencoded%1B\r\n"s, "gemini://localhost/\xE2\x80\xAE\r\n"s}) {
    another.tcp.from = "127.0.0." + std::to_string(++number);
    exchange(capsule.port(), line, another);
  }
  finish();
  EXPECT_THAT(linesWith("gemini://localhost/"), SizeIs(8));
  const std::string log = capsule.log();
  for (const char byte : log) {
    EXPECT_TRUE(byte == '\n' || (static_cast<unsigned char>(byte) >= ' ' && byte != '\x7F'))
        << static_cast<int>(byte);
  }
  EXPECT_EQ(log.find("\xC2\x9B"), std::string::npos) << "a C1 control character";
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_NE(line.rfind("gemini 20 forged", 0), 0U);
  }
}

TEST_F(AccessLog, IsJsonWhenAsked) {
  using namespace std::string_literals;
  capsule.set("log.format", "\"json\"");
  capsule.start();
  const Reply reply = capsule.get("/large.bin");
  exchange(capsule.port(), "gemini://localhost/\"\\\x01\xFF\n\xC3\xA9\r\n");
  finish();
  std::size_t requests = 0;
  std::istringstream lines(capsule.log());
  for (std::string line; std::getline(lines, line);) {
    Poco::JSON::Parser parser;
    Poco::JSON::Object::Ptr object;
    ASSERT_NO_THROW(object = parser.parse(line).extract<Poco::JSON::Object::Ptr>()) << line;
    if (!object->has("url")) continue;
    ++requests;
    if (object->getValue<std::string>("url").find("large.bin") == std::string::npos) continue;
    EXPECT_EQ(object->getValue<int>("status"), 20) << line;
    EXPECT_EQ(object->getValue<std::size_t>("bytes"), reply.header.size() + 2 + reply.body.size())
        << line;
    EXPECT_EQ(object->getValue<std::string>("protocol"), "gemini") << line;
  }
  EXPECT_EQ(requests, 2U) << capsule.log();
}

TEST_F(AccessLog, CanBeSwitchedOff) {
  capsule.set("log.access", "false");
  capsule.start();
  EXPECT_EQ(capsule.get("/unlogged").status, 51);
  finish();
  EXPECT_THAT(linesWith("/unlogged"), SizeIs(0));
}

TEST_F(AccessLog, NamesTheClientsCertificate) {
  capsule.start();
  const TestCertificate certificate = makeTestCertificate();
  TlsSettings settings;
  settings.certificate = &certificate;
  EXPECT_EQ(capsule.get("/", settings).status, 20);
  finish();
  EXPECT_THAT(lineWith("gemini 20 "),
              HasSubstr(certificateFingerprint(certificate.certificate.get()).substr(0, 16)));
}

/// Lines for the operator about clients that did not get in.
class LostClient : public AccessLog {
 protected:
  void refuseCertificate(const std::optional<std::string>& host, int version) const {
    TlsSettings settings;
    settings.serverName = host;
    settings.maxVersion = version;
    GeminiClient client(capsule.port(), settings);
    SSL_set_verify(client.ssl(), SSL_VERIFY_PEER, nullptr);  // it knows no authority
    EXPECT_FALSE(client.handshake());
  }
};

TEST_F(LostClient, ThatRefusesTheCertificateLeavesALineThatSaysWhatToDo) {
  capsule.start();
  refuseCertificate("localhost", TLS1_3_VERSION);
  refuseCertificate(std::nullopt, TLS1_2_VERSION);
  const std::string line = lineWith("for \"localhost\" (unknown_ca)");
  EXPECT_THAT(line, HasSubstr("a client at 127.0.0.0 refused the certificate"));
  EXPECT_THAT(line, HasSubstr("egalaxyctl certificate list"));
  lineWith("refused the certificate (unknown_ca)");
}

TEST_F(LostClient, ThatWantsWhatIsNotServedLeavesOneLine) {
  capsule.set("log.client_ip", "\"off\"");
  capsule.start();
  EXPECT_EQ(exchange(capsule.port(), "gemini://other.test/secret?q\r\n").status, 53);
  TlsSettings byName;
  byName.serverName = "third.test";
  EXPECT_EQ(exchange(capsule.port(), "gemini://third.test/\r\n", byName).status, 53);
  EXPECT_EQ(exchange(capsule.port(), "gemini://localhost:7/\r\n").status, 53);
  byName.serverName = "evil\".test";
  { EXPECT_TRUE(GeminiClient(capsule.port(), byName).handshake()); }
  EXPECT_TRUE(capsule.waitForLog("wanted \"evil"));
  EXPECT_THAT(lineWith("wanted \"other.test\", which is not served here"),
              testing::AllOf(HasSubstr("a client at - wanted"), HasSubstr("[sites]"),
                             testing::Not(HasSubstr("secret"))));
  lineWith("wanted \"third.test\"");
  EXPECT_THAT(lineWith("wanted port 7 of \"localhost\""), HasSubstr("listen.public_ports"));
  EXPECT_THAT(lineWith("wanted \"evil"), HasSubstr("evil\\\".test\", which"));
}

TEST_F(LostClient, FillsNoLog) {
  capsule.set("server.workers", "1");
  capsule.start();
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(exchange(capsule.port(), fmt::format("gemini://h{}.test/\r\n", i)).status, 53);
    refuseCertificate("localhost", TLS1_3_VERSION);
  }
  finish();
  // Where the test takes more than a minute, there is another round.
  EXPECT_LE(linesWith("which is not served here").size(), 10U);
  EXPECT_LE(linesWith("refused the certificate").size(), 10U);
}

}  // namespace
}  // namespace egalaxyd
