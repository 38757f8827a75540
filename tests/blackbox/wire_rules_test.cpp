// The request line and the response header, vector by vector: protocols, sections 1.1 to 1.4.
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

/// What a response header may look like; a message is always sent.
const std::regex kHeader(
    R"((1[01] [^\r\n]+|20 [^ ;]+/[^ ;]+(;.*)?|3[01] [^ ]+|(4[0-4]|5[0-3]|59|6[0-2]) [^\r\n]+))");

struct Vector {
  std::string request;  ///< HOST and PORT stand for ours; sent as it is
  std::vector<int> allowed;
};

std::string replaceAll(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
  return text;
}

class WireRules : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("caf\xC3\xA9.gmi", "# Coffee\n");
    capsule.page("a+b.gmi", "# Plus\n");
    capsule.page("a/b", "below a\n");
    capsule.page("testdir/index.gmi", "# Dir\n");
    capsule.dir().write("secret", "not for clients\n");
  }

  std::string expand(const std::string& text) const {
    return replaceAll(replaceAll(text, "HOST", "localhost"), "PORT",
                      std::to_string(capsule.port()));
  }

  void expectEach(const std::vector<Vector>& vectors, const TlsSettings& settings = {}) {
    for (const Vector& vector : vectors) {
      SCOPED_TRACE(testing::PrintToString(vector.request.substr(0, 120)));
      const Reply reply = exchange(capsule.port(), expand(vector.request), settings);
      EXPECT_NE(std::find(vector.allowed.begin(), vector.allowed.end(), reply.status),
                vector.allowed.end())
          << reply;
      EXPECT_TRUE(reply.complete()) << reply;
      EXPECT_TRUE(std::regex_match(reply.header, kHeader)) << reply;
      EXPECT_LE(reply.meta.size(), 1024U);
      EXPECT_TRUE(reply.status == 20 || reply.body.empty()) << reply;
    }
  }

  Capsule capsule;
};

Vector answered(std::string url, int status) { return {std::move(url) + "\r\n", {status}}; }

TEST_F(WireRules, TakesEveryWayToWriteOurOwnUrl) {
  capsule.start();
  std::vector<Vector> vectors;
  for (const char* url : {"gemini://HOST/",
                          "gemini://HOST",
                          "gemini://HOST:PORT/",
                          "gemini://HOST:1965/",
                          "gemini://HOST:0PORT/",
                          "gemini://HOST:01965/",
                          "gemini://HOST:/",
                          "gemini://HOST:",
                          "gemini://HOST?q",
                          "gemini://HOST:PORT?x",
                          "gemini://HOST/?",
                          "gemini://HOST/?q",
                          "gemini://HOST/?a@b",
                          "GEMINI://HOST/",
                          "Gemini://LocalHost/",
                          "gemini://HOST/./",
                          "gemini://HOST/index.gmi",
                          "gemini://HOST/inde%78.gmi",
                          "gemini://HOST/./index.gmi",
                          "gemini://HOST/testdir/../index.gmi",
                          "gemini://HOST/a+b.gmi",
                          "gemini://HOST/a%2Bb.gmi",
                          "gemini://HOST/caf%C3%A9.gmi",
                          "gemini://HOST/caf%c3%a9.gmi",
                          "gemini://HOST/caf\xC3\xA9.gmi"}) {
    vectors.push_back(answered(url, 20));
  }
  expectEach(vectors);
}

TEST_F(WireRules, AnswersAnEmptyPathAsTheRoot) {
  capsule.start();
  const Reply root = capsule.get("/");
  EXPECT_EQ(root.body, "# Welcome\n") << root;
  EXPECT_EQ(root.meta.substr(0, 11), "text/gemini");
  for (const char* path : {"", "?q", "/?q", "/index.gmi"}) {
    const Reply reply = capsule.get(path);
    EXPECT_EQ(reply.header, root.header) << path;
    EXPECT_EQ(reply.body, root.body) << path;
  }
}

TEST_F(WireRules, RefusesUserinfo) {
  capsule.start();
  expectEach({answered("gemini://user@HOST/", 59), answered("gemini://user:pw@HOST/", 59),
              answered("gemini://:secret@HOST/", 59), answered("gemini://@HOST/", 59),
              answered("gemini://@HOST", 59), answered("gemini://@HOST:PORT/", 59),
              answered("gemini://user@elsewhere.example/", 59)});
}

TEST_F(WireRules, TakesAnAtSignAfterTheAuthority) {
  capsule.start();
  expectEach({answered("gemini://HOST/@alice", 51), answered("gemini://HOST/a:b@c", 51),
              answered("gemini://HOST?a@b", 20)});
}

TEST_F(WireRules, RefusesWhatIsNoAbsoluteUri) {
  capsule.start();
  std::vector<Vector> vectors;
  for (const char* line : {"",
                           "/",
                           "//HOST/",
                           "HOST/",
                           "Hello Gemini!",
                           "gemini:HOST/",
                           "gemini:/HOST",
                           "gemini:///x",
                           "gemini://:1965/",
                           "gemini://",
                           "gemini:",
                           ":",
                           "?",
                           "1gemini://HOST/",
                           "gem ini://HOST/",
                           " gemini://HOST/",
                           "gemini://HOST/ ",
                           "gemini://HOST/a b",
                           "\t",
                           "gemini://HO ST/",
                           "GET / HTTP/1.1"}) {
    vectors.push_back(answered(line, 59));
  }
  expectEach(vectors);
}

TEST_F(WireRules, RefusesAFragmentEvenAnEmptyOne) {
  capsule.start();
  std::vector<Vector> vectors;
  for (const char* url :
       {"gemini://HOST/#top", "gemini://HOST/?q#f", "gemini://HOST/x#", "gemini://HOST#x",
        "gemini://HOST#", "gemini://elsewhere.example/#x", "https://HOST/#x"}) {
    vectors.push_back(answered(url, 59));
  }
  expectEach(vectors);
}

TEST_F(WireRules, CountsTheBytesOfTheUrlWithoutItsEnd) {
  capsule.start();
  const std::string start = expand("gemini://HOST/");
  const auto urlOf = [&](std::size_t size) {
    return start + std::string(size - start.size(), 'a');
  };
  const std::string accents = start + std::string(1, 'a');
  std::string multibyte = accents;
  while (multibyte.size() < 1025) multibyte += "\xC3\xA9";
  expectEach({answered(urlOf(1023), 51), answered(urlOf(1024), 51), answered(urlOf(1025), 59),
              answered(urlOf(1026), 59), answered(urlOf(5000), 59),
              answered(start + "?" + std::string(1024 - start.size() - 1, 'q'), 20),
              answered(multibyte, multibyte.size() > 1024 ? 59 : 51)});
}

TEST_F(WireRules, AnswersAnEndlessLineAtOnce) {
  capsule.set("limits.request_timeout", "\"10m\"");
  capsule.start();
  expectEach({{std::string(1026, 'a'), {59}},
              {std::string(1027, 'a'), {59}},
              {"gemini://HOST/" + std::string(1100, 'a'), {59}},
              {std::string(16'000, 'a'), {59}}});
}

TEST_F(WireRules, RefusesBytesThatNoUrlMayHold) {
  capsule.start();
  using namespace std::string_literals;
  expectEach({{"\xEF\xBB\xBFgemini://HOST/\r\n", {59}},
              {"gemini://HOST/\xDC\r\n", {59}},
              {"gemini://HOST/\xC0\xAE\r\n", {59}},
              {"gemini://HOST/\xED\xA0\x80\r\n", {59}},
              {"gemini://HOST/\0\r\n"s, {59}},
              {"gemini://HOST/a\0b\r\n"s, {59}},
              {"gemini://HO\0ST/\r\n"s, {59}},
              {"gemini://HOST/\x01\r\n", {59}},
              {"gemini://HOST/\x1B[31m\r\n", {59}},
              {"gemini://HOST/\x7F\r\n", {59}},
              {"gemini://HOST/\t\r\n", {59}},
              {"gemini://HOST/\nX\r\n", {59}},
              {"gemini://HOST/\rX\r\n", {59}},
              {"gemini://HOST/\r\r\n", {59}},
              {"\ngemini://HOST/\r\n", {59}}});
}

TEST_F(WireRules, SaysNothingToABareLineFeed) {
  capsule.set("limits.request_timeout", "\"3s\"");
  capsule.start();
  for (const char* line : {"gemini://HOST/\n", "gemini://HOST/", "gemini://HOST/\r", ""}) {
    GeminiClient client(capsule.port());
    ASSERT_TRUE(client.handshake());
    if (*line != '\0') client.send(expand(line));
    const Reply reply = client.readReply();
    EXPECT_EQ(reply.header, "") << reply;
    EXPECT_TRUE(reply.closeNotify) << reply;
    EXPECT_EQ(reply.ending, Ending::kClosed) << reply;
  }
}

TEST_F(WireRules, AnswersALineThatComesByteByByte) {
  capsule.start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  ASSERT_TRUE(client.sendByByte(capsule.url("/") + "\r\n"));
  const Reply reply = client.readReply();
  EXPECT_EQ(reply.status, 20) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(WireRules, AnswersALineWhoseEndIsSplit) {
  capsule.start();
  GeminiClient client(capsule.port());
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/"));
  client.send("\r");
  client.send("\n");
  EXPECT_EQ(client.readReply().status, 20);
}

TEST_F(WireRules, AnswersOneRequestPerConnection) {
  capsule.start();
  const std::string line = capsule.url("/") + "\r\n";
  const Reply reply = exchange(capsule.port(), line + line);
  EXPECT_EQ(reply.status, 20) << reply;
  EXPECT_EQ(reply.body, "# Welcome\n");
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(WireRules, IgnoresWhatFollowsTheLine) {
  capsule.start();
  expectEach({{"gemini://HOST/\r\nGARBAGE", {20}},
              {"gemini://HOST/\r\n\r\n\r\n", {20}},
              {"gemini://HOST/missing\r\n" + std::string(8000, 'x'), {51}},
              {"\r\n" + std::string(8000, 'x'), {59}}});
}

TEST_F(WireRules, RefusesBrokenPercentEncoding) {
  capsule.start();
  expectEach({answered("gemini://HOST/%zz", 59), answered("gemini://HOST/%2", 59),
              answered("gemini://HOST/%", 59), answered("gemini://HOST/?%zz", 59)});
}

TEST_F(WireRules, FindsNothingUnderNamesThatCannotExist) {
  capsule.start();
  expectEach({answered("gemini://HOST/%00", 51), answered("gemini://HOST/index.gmi%00", 51),
              answered("gemini://HOST/%AE", 51), answered("gemini://HOST/a%2Fb", 51),
              answered("gemini://HOST/a%20b.gmi", 51), answered("gemini://HOST/missing", 51),
              answered("gemini://HOST/index.gmi/", 51), answered("gemini://HOST/index.gmi/x", 51),
              answered("gemini://HOST/dir%0D%0A20%20text/html", 51)});
}

TEST_F(WireRules, NeverLeavesTheRoot) {
  capsule.start();
  expectEach({answered("gemini://HOST/../../", 59), answered("gemini://HOST/..", 59),
              answered("gemini://HOST/../secret", 59), answered("gemini://HOST/a/../../secret", 59),
              answered("gemini://HOST/%2e%2e/secret", 51),
              answered("gemini://HOST/%2e%2e/%2e%2e/etc/passwd", 51),
              answered("gemini://HOST/..%2Fsecret", 51),
              answered("gemini://HOST/..%2F..%2Fetc/passwd", 51),
              answered("gemini://HOST/testdir%2F..%2F..%2Fsecret", 51),
              answered("gemini://HOST/%252e%252e/secret", 51)});
}

TEST_F(WireRules, RefusesAMalformedAuthority) {
  capsule.start();
  std::vector<Vector> vectors;
  for (const char* url : {"gemini://HOST:abc/", "gemini://HOST:65536/", "gemini://HOST:-1/",
                          "gemini://HOST:99999999999999999999/", "gemini://[::1/", "gemini://[zz]/",
                          "gemini://%/", "gemini://HOST:1:2/"}) {
    vectors.push_back(answered(url, 59));
  }
  expectEach(vectors);
}

TEST_F(WireRules, RefusesToBeAProxy) {
  capsule.start();
  std::vector<Vector> vectors;
  for (const char* url :
       {"gemini://wikipedia.org/", "gemini://HOST:443/", "http://HOST/", "https://HOST/",
        "gopher://HOST/", "spartan://HOST/", "mailto:x@y", "data:,x", "gemini://127.0.0.1:PORT/",
        "gemini://[::1]:PORT/", "gemini://badHOST/"}) {
    vectors.push_back(answered(url, 53));
  }
  expectEach(vectors);
}

TEST_F(WireRules, RefusesAnIpLiteralWithoutSniUnlessItIsConfigured) {
  capsule.start();
  TlsSettings settings;
  settings.serverName.reset();
  expectEach({answered("gemini://127.0.0.1:PORT/", 53), answered("gemini://[::1]:PORT/", 53)},
             settings);
}

TEST_F(WireRules, SaysThatUploadsAreNotEnabled) {
  capsule.start();
  const Reply reply = exchange(capsule.port(), expand("titan://HOST/x;size=1\r\na"));
  EXPECT_EQ(reply.header, "50 Uploads are not enabled here") << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(WireRules, EndsEveryAnswerProperlyInBothTlsVersions) {
  capsule.page("large.bin", std::string(3'000'000, 'x'));
  capsule.start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsSettings settings;
    settings.maxVersion = version;
    expectEach({answered("gemini://HOST/", 20), answered("gemini://HOST/large.bin", 20),
                answered("gemini://HOST/missing", 51), answered("gemini://HOST/testdir", 31),
                answered("gemini://HOST/#x", 59), answered("gemini://elsewhere.example/", 53),
                answered("titan://HOST/x;size=1", 50)},
               settings);
  }
}

TEST_F(WireRules, SendsNoHeaderLongerThanClientsTake) {
  std::string folders;
  for (int i = 0; i < 3; ++i) {
    for (int n = 0; n < 120; ++n) folders += "\xC3\xA9";
    folders += '/';
  }
  capsule.page(folders + "index.gmi", "# Deep\n");
  capsule.start();
  folders.pop_back();
  expectEach({{"gemini://HOST/" + folders + "\r\n", {40, 51, 59}},
              {"gemini://HOST/" + folders + "/\r\n", {20}}});
}

}  // namespace
}  // namespace egalaxyd
