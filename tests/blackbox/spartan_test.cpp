// Spartan over the wire: protocols, section 3.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What a site for everyone looks like to Spartan.
constexpr const char* kAnyHost = "[sites.\"*\"]\nroot = \"root\"\n";

class Spartan : public testing::Test {
 protected:
  void SetUp() override {
    capsule.set("listen.spartan", "[\"127.0.0.1:0\"]");
    capsule.page("index.gmi", "# Welcome\n");
    capsule.page("caf\xC3\xA9.txt", "au lait\n");
    capsule.page("my file.txt", "mine\n");
    capsule.page("form.gmi", "=: /post Say\r\n=:/x\n\xEF\xBB\xBF\x80\n");
    capsule.page("my dir/index.gmi", "# Folder\n");
  }

  SpartanReply ask(std::string_view bytes, const TcpSettings& settings = {}) const {
    return askSpartan(capsule.spartanPort(), bytes, settings);
  }
  SpartanReply get(const std::string& path) const { return ask("localhost " + path + " 0\r\n"); }
  void expectStatus(std::string_view bytes, int status) const {
    const SpartanReply reply = ask(bytes);
    EXPECT_EQ(reply.status, status) << bytes << ": " << reply;
    EXPECT_TRUE(reply.complete()) << bytes << ": " << reply;
  }

  Capsule capsule;
};

TEST_F(Spartan, ServesThePagesOfTheCapsule) {
  capsule.start();
  const SpartanReply page = get("/");
  EXPECT_EQ(page.header, "2 text/gemini");
  EXPECT_EQ(page.body, "# Welcome\n");
  EXPECT_EQ(page.ending, Ending::kClosed);
  EXPECT_EQ(get("/caf%C3%A9.txt").body, "au lait\n");
  EXPECT_EQ(get("/my%20file.txt").body, "mine\n");
  EXPECT_EQ(get("/./my%20dir/../index.gmi").body, "# Welcome\n");
  EXPECT_EQ(get("/form.gmi").body, readAll(capsule.root() / "form.gmi"));
  EXPECT_EQ(get("/missing").header, "4 Not found");
  EXPECT_EQ(capsule.get("/").status, 20) << "Gemini beside it";
}

TEST_F(Spartan, RedirectsByAbsolutePath) {
  capsule.page("dir/index.gmi", "# Folder\n");
  capsule.start();
  EXPECT_EQ(get("/dir").header, "3 /dir/");
  EXPECT_EQ(get("/my%20dir").header, "3 /my%20dir/");
  EXPECT_TRUE(get("/dir").complete());
}

TEST_F(Spartan, FindsTheHostHoweverItIsWritten) {
  capsule.start();
  const std::string port = std::to_string(capsule.spartanPort());
  for (const std::string& host : {std::string("localhost"), std::string("LocalHost"),
                                  std::string("localhost:300"), "localhost:" + port}) {
    expectStatus(host + " / 0\r\n", 2);
    expectStatus(host + " / 000\r\n", 2);
  }
  for (const char* host : {"other.test", "127.0.0.1", "[::1]", "localhost:1", "localhost.."}) {
    expectStatus(std::string(host) + " / 0\r\n", 4);
  }
}

TEST_F(Spartan, ServesAnyHostWhereASiteIsForAny) {
  capsule.sites(kAnyHost);
  capsule.start();
  for (const char* host : {"other.test", "127.0.0.1", "[::1]", "::1"}) {
    expectStatus(std::string(host) + " / 0\r\n", 2);
  }
}

TEST_F(Spartan, RefusesWhatIsNoRequest) {
  using namespace std::string_literals;
  capsule.start();
  for (const std::string& line : {"localhost /\r\n"s,
                                  "localhost / 0 0\r\n"s,
                                  "localhost  / 0\r\n"s,
                                  "localhost / +5\r\n"s,
                                  "/ 0\r\n"s,
                                  "localhost / -1\r\n"s,
                                  "localhost / 0x10\r\n"s,
                                  "localhost / \r\n"s,
                                  " localhost / 0\r\n"s,
                                  "localhost /caf\xC3\xA9.txt 0\r\n"s,
                                  "localhost /\0 0\r\n"s,
                                  "localhost /\t 0\r\n"s,
                                  "GET / HTTP/1.1\r\n"s,
                                  "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"s,
                                  "localhost / 99999999999999999999999\r\n"s,
                                  "localhost index.gmi 0\r\n"s,
                                  "localhost /a?b 0\r\n"s,
                                  "localhost /a#b 0\r\n"s,
                                  "localhost //etc 0\r\n"s,
                                  "localhost /../x 0\r\n"s,
                                  "localhost /%2e%2e/%2e%2e/etc/passwd 0\r\n"s,
                                  "localhost /a%2Fb 0\r\n"s,
                                  "localhost /index.gmi%00 0\r\n"s,
                                  "localhost / 0\n"s,
                                  "gemini://localhost/\r\n"s,
                                  "\r\n"s,
                                  "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"s,
                                  std::string(4097, 'a'),
                                  "localhost /" + std::string(100'000, 'a') + " 0\r\n"}) {
    expectStatus(line, 4);
  }
}

TEST_F(Spartan, AnswersWhateverTheSegmentsAre) {
  capsule.start();
  const std::string line = "localhost /my%20file.txt 0\r\n";
  for (std::size_t cut = 1; cut < line.size(); ++cut) {
    TcpClient client(capsule.spartanPort());
    client.send(line.substr(0, cut));
    client.send(line.substr(cut));
    EXPECT_EQ(readSpartanReply(client).body, "mine\n") << cut;
  }
}

TEST_F(Spartan, AnswersOnceAndDropsWhatFollows) {
  capsule.start();
  const SpartanReply reply =
      ask("localhost / 0\r\nlocalhost /missing 0\r\n" + std::string(200'000, 'x'));
  EXPECT_EQ(reply.header, "2 text/gemini");
  EXPECT_EQ(reply.body, "# Welcome\n");
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Spartan, AnswersInFullAfterTheClientsHalfClose) {
  capsule.page("large.bin", std::string(3'000'000, 'x'));
  capsule.start();
  TcpClient client(capsule.spartanPort());
  client.send("localhost /large.bin 0\r\n");
  client.finish();
  const SpartanReply reply = readSpartanReply(client);
  EXPECT_EQ(reply.body.size(), 3'000'000U) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Spartan, SendsALargeFileToASlowReaderByteByByte) {
  std::string large;
  while (large.size() < 5'000'000) large += std::to_string(large.size()) + " ";
  capsule.page("large.txt", large);
  capsule.start();
  TcpSettings slow;
  slow.receiveBuffer = 16 * 1024;
  EXPECT_TRUE(ask("localhost /large.txt 0\r\n", slow).body == large);
}

/// Whether the server has ended its side within half a second.
bool endsSoon(TcpClient& client) {
  pollfd poll{client.fd(), POLLIN, 0};
  return ::poll(&poll, 1, 500) != 0;
}

TEST_F(Spartan, ARefusedUploadMayLeaveTheClientBeforeTheEndComes) {
  capsule.start();
  TcpClient client(capsule.spartanPort());
  ASSERT_TRUE(client.send("localhost / 1000000\r\n" + std::string(400'000, 'x')));
  EXPECT_EQ(client.receive().substr(0, 2), "4 ");
  EXPECT_FALSE(endsSoon(client)) << "some clients stop sending then, and reading too";
  ASSERT_TRUE(client.send(std::string(600'000, 'x')));
  EXPECT_EQ(client.receiveAll(), "");
  EXPECT_EQ(client.ending(), Ending::kClosed);
}

TEST_F(Spartan, ARefusedUploadEndsAlsoForAClientThatKeepsItsBody) {
  capsule.start();
  TcpClient client(capsule.spartanPort());
  ASSERT_TRUE(client.send("localhost / 1000000\r\n"));
  const SpartanReply reply = readSpartanReply(client);
  EXPECT_EQ(reply.status, 4) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(Spartan, EndsConnectionsThatDoNotMove) {
  capsule.set("limits.request_timeout", "\"1s\"");
  capsule.set("limits.write_timeout", "\"1s\"");
  capsule.page("large.bin", std::string(20'000'000, 'x'));
  capsule.start();
  for (const char* start : {"", "localhost"}) {
    TcpClient client(capsule.spartanPort());
    client.send(start);
    EXPECT_EQ(client.receiveAll(), "") << "not a word to who said nothing whole";
    EXPECT_NE(client.ending(), Ending::kTimedOut);
  }
  TcpSettings slow;
  slow.receiveBuffer = 16 * 1024;
  TcpClient unread(capsule.spartanPort(), slow);
  unread.send("localhost /large.bin 0\r\n");
  EXPECT_TRUE(capsule.waitForLog("/large.bin"));
  const SpartanReply part = readSpartanReply(unread);
  EXPECT_EQ(part.ending, Ending::kReset) << "a part must not look whole: " << part;
}

TEST_F(Spartan, MapsEveryStatus) {
  const std::pair<int, std::string> statuses[] = {
      {10, "2 text/gemini"}, {11, "2 text/gemini"}, {20, "2 text/plain"}, {30, "3 /to"},
      {31, "3 /to"},         {40, "5 Words"},       {41, "5 Words"},      {42, "5 Words"},
      {43, "5 Words"},       {44, "4 Too many"},    {50, "4 Words"},      {51, "4 Words"},
      {52, "4 Words"},       {53, "4 Words"},       {59, "4 Words"},      {60, "4 This page"},
      {61, "4 This page"},   {62, "4 This page"}};
  std::string sites;
  for (const auto& [status, header] : statuses) {
    const std::string meta = status == 20       ? "text/plain"
                             : status / 10 == 3 ? "/to"
                             : status == 44     ? "9"
                                                : "Words";
    sites += "[sites.localhost.\"/" + std::to_string(status) +
             "\"]\nmodule = \"reply\"\nstatus = " + std::to_string(status) + "\nmeta = \"" + meta +
             "\"\n";
  }
  capsule.sites(sites);
  capsule.start();
  for (const auto& [status, header] : statuses) {
    const SpartanReply reply = get("/" + std::to_string(status));
    EXPECT_THAT(reply.header, testing::StartsWith(header)) << status;
    EXPECT_TRUE(reply.complete()) << status << ": " << reply;
  }
}

TEST_F(Spartan, SendsNobodyToAnotherHost) {
  const std::string module = "]\nmodule = \"redirect\"\nto = ";
  capsule.sites("[sites.localhost.\"/away\"" + module + "\"gemini://other.test/x\"\n" +
                "[sites.localhost.\"/up\"" + module + "\"https://localhost/\"\n" +
                "[sites.localhost.\"/query\"" + module + "\"/x?q\"\n" +
                "[sites.localhost.\"/here\"" + module + "\"gemini://%host%/new/%path%\"\n" +
                "[sites.localhost.\"/path\"" + module + "\"%path%\"\n");
  capsule.start();
  for (const char* path : {"/away", "/up", "/query"}) EXPECT_EQ(get(path).status, 4) << path;
  EXPECT_EQ(get("/here/a%20b").header, "3 /new/a%20b");
  EXPECT_EQ(get("/path/%2F/evil.test").status, 4);
  EXPECT_EQ(get("/path//evil.test").header, "3 /evil.test");
}

TEST_F(Spartan, NeverServesWhatACertificateGuards) {
  capsule.dir().write("secret/index.gmi", "classified\n");
  capsule.sites(
      "[sites.localhost.\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
      "[sites.localhost.\"/members\"]\nmodule = \"authenticated\"\n"
      "[sites.localhost.\"/members\".sites.\"/\"]\nmodule = \"directory\"\nroot = \"secret\"\n"
      "[sites.localhost.\"/name\"]\nmodule = \"input\"\nas_meta = true\n");
  capsule.start();
  for (const char* path :
       {"/members", "/members/", "/members/index.gmi", "/%6dembers/", "/x/../members/",
        "/members//", "/members/.", "/./members/index.gmi", "/x/%2e%2e/members/index.gmi",
        "/members%2Findex.gmi", "/MEMBERS/", "/members/%2e", "/name", "/name/"}) {
    const SpartanReply reply = get(path);
    EXPECT_EQ(reply.status, 4) << path << ": " << reply;
    EXPECT_THAT(reply.body, Not(HasSubstr("classified"))) << path;
    expectStatus("localhost " + std::string(path) + " 1\r\nx", 4);
  }
}

TEST_F(Spartan, IsOffForAHostThatSaysSo) {
  capsule.sites(
      "[sites.localhost]\nroot = \"root\"\n"
      "[sites.\"quiet.test\"]\nroot = \"root\"\nspartan = false\naliases = [\"silent.test\"]\n"
      "[sites.\"*\"]\nroot = \"root\"\n");
  capsule.start();
  EXPECT_THAT(capsule.out(), HasSubstr("spartan://localhost:"));
  EXPECT_THAT(capsule.out(), Not(HasSubstr("spartan://quiet.test:")));
  EXPECT_THAT(capsule.out(), HasSubstr("gemini://quiet.test:"));
  for (const char* host : {"quiet.test", "QUIET.test", "silent.test"}) {
    expectStatus(std::string(host) + " / 0\r\n", 4);
  }
  for (const char* host : {"localhost", "any.test"}) {
    expectStatus(std::string(host) + " / 0\r\n", 2);
  }
}

TEST_F(Spartan, TellsTheSiteWhatAnyProtocolTells) {
  capsule.sites("[sites.localhost.\"/\"]\nmodule = \"spy\"\n");
  capsule.start();
  const std::string page = get("/a%20b/").body;
  EXPECT_THAT(page, HasSubstr("  protocol: spartan\n"));
  EXPECT_THAT(page, HasSubstr("  host: localhost\n"));
  EXPECT_THAT(page, HasSubstr("  path: /a b/\n"));
  EXPECT_THAT(page, HasSubstr("  url: spartan://localhost/a%20b/\n"));
  EXPECT_THAT(page, HasSubstr("## Certificate\n\nNone."));
}

TEST_F(Spartan, WritesTheSameLog) {
  capsule.start();
  get("/missing");
  ask("nonsense\r\n");
  const SpartanReply page = get("/");
  capsule.stop();
  EXPECT_THAT(capsule.log(), HasSubstr("spartan 4 "));
  EXPECT_THAT(capsule.log(), HasSubstr("\"spartan://localhost/missing\""));
  EXPECT_THAT(capsule.log(), HasSubstr("nonsense"));
  const std::size_t bytes = page.header.size() + 2 + page.body.size();
  EXPECT_THAT(capsule.log(), HasSubstr(" " + std::to_string(bytes) + "B "));
}

TEST_F(Spartan, SharesTheRateLimitWithTheOtherProtocols) {
  capsule.set("rate_limit.enabled", "true");
  capsule.set("rate_limit.requests", "2");
  capsule.set("rate_limit.penalty", "\"1h\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(get("/").status, 2);
  EXPECT_THAT(get("/").header, testing::ContainsRegex("^4 Too many requests: wait 3[0-9]+ sec"));
  EXPECT_EQ(capsule.get("/").status, 44);
  TcpSettings other;
  other.from = "127.0.0.9";
  EXPECT_EQ(ask("localhost / 0\r\n", other).status, 2);
}

TEST_F(Spartan, CountsConnectionsPerAddressWithTheOthers) {
  capsule.set("limits.connections_per_ip", "2");
  capsule.page("large.bin", std::string(20'000'000, 'x'));
  capsule.start();
  GeminiClient first(capsule.port());
  ASSERT_TRUE(first.handshake());
  TcpSettings slow;
  slow.receiveBuffer = 16 * 1024;
  TcpClient second(capsule.spartanPort(), slow);
  second.send("localhost /large.bin 0\r\n");
  ASSERT_NE(second.receive(), "") << "both are accepted now";
  EXPECT_EQ(get("/").status, 0) << "a third is refused";
  second.close();
  EXPECT_TRUE(eventually([&] { return get("/").status == 2; })) << "its place is free again";
}

TEST_F(Spartan, TakesAProxysWord) {
  capsule.set("listen.proxy_protocol_from", "[\"127.0.0.7/32\"]");
  capsule.sites("[sites.localhost.\"/\"]\nmodule = \"spy\"\n");
  capsule.start();
  TcpSettings proxy;
  proxy.from = "127.0.0.7";
  const SpartanReply reply =
      ask("PROXY TCP4 192.0.2.77 192.0.2.1 4000 300\r\nlocalhost / 0\r\n", proxy);
  EXPECT_THAT(reply.body, HasSubstr("192.0.2.77"));
  // The longest header of version 2, with one extension, and the request in the same segment.
  std::string longest(
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x08\xc0\0\x02\x4e\xc0\0\x02\x01\x0f\xa0\x01\x2c", 28);
  longest.append("\x04\x01\xf9", 3).append(505, 'x');
  EXPECT_EQ(ask(longest + "localhost / 0\r\n", proxy).status, 2);
  EXPECT_EQ(ask("localhost / 0\r\n", proxy).status, 0);
}

TEST_F(Spartan, ServesOnThroughAReload) {
  capsule.start();
  TcpClient half(capsule.spartanPort());
  half.send("localhost /my%20");
  capsule.page("index.gmi", "# Later\n");
  capsule.reload();
  EXPECT_EQ(get("/").body, "# Later\n");
  half.send("file.txt 0\r\n");
  EXPECT_EQ(readSpartanReply(half).body, "mine\n");
}

TEST_F(Spartan, NeedsNoGeminiBesideIt) {
  capsule.set("listen.gemini", "[]");
  capsule.start();
  EXPECT_EQ(get("/").status, 2);
  EXPECT_THAT(capsule.out(), Not(HasSubstr("gemini://")));
}

TEST_F(Spartan, NeedsNoConfiguration) {
  capsule.startWith(
      {"--gemini", "127.0.0.1:0", "--spartan", "127.0.0.1:0", "--state-dir",
       (capsule.dir() / "state").string(), "--runtime-dir", (capsule.dir() / "run").string()},
      capsule.root());
  EXPECT_EQ(get("/").body, "# Welcome\n");
  EXPECT_THAT(capsule.out(),
              HasSubstr("spartan://localhost:" + std::to_string(capsule.spartanPort()) + "/"));
}

TEST_F(Spartan, RefusesDataWhereNoneIsTakenWhileTheClientStillSends) {
  capsule.start();
  for (const char* path : {"/", "/index.gmi", "/missing"}) {
    TcpClient client(capsule.spartanPort());
    client.send("localhost " + std::string(path) + " 10000000\r\n");
    EXPECT_TRUE(client.send(std::string(1'000'000, 'x')));
    const SpartanReply reply = readSpartanReply(client);
    EXPECT_EQ(reply.status, 4) << path << ": " << reply;
    EXPECT_TRUE(reply.complete()) << path << ": " << reply;
  }
  expectStatus("localhost / 18446744073709551615\r\n", 4);
}

TEST_F(Spartan, RefusesDataBeforeItComes) {
  capsule.start();
  TcpClient client(capsule.spartanPort());
  client.send("localhost / 10000000\r\n");
  EXPECT_THAT(client.receive(), testing::StartsWith("4 "));
  EXPECT_TRUE(client.send(std::string(100'000, 'x'))) << "it is drained, not reset";
  EXPECT_EQ(client.receiveAll(), "");
  EXPECT_EQ(client.ending(), Ending::kClosed);
}

class SpartanInput : public Spartan {
 protected:
  void serve(const std::string& keys = "") {
    capsule.sites("[sites.localhost.\"/ask\"]\nmodule = \"input\"\nprompt = \"Your name?\"\n" +
                  keys + "[sites.localhost.\"/ask\".sites.\"/\"]\nmodule = \"spy\"\n");
    capsule.start();
  }
  SpartanReply answer(std::string_view data, const std::string& path = "/ask") const {
    return ask("localhost " + path + " " + std::to_string(data.size()) + "\r\n" +
               std::string(data));
  }
};

TEST_F(SpartanInput, IsAskedForOnAPageAndHandedOn) {
  serve();
  const SpartanReply page = get("/ask/a%20b");
  EXPECT_EQ(page.header, "2 text/gemini");
  EXPECT_EQ(page.body, "Your name?\n\n=: /ask/a%20b Answer\n");
  EXPECT_THAT(answer("hello world").body, HasSubstr("  input: hello world\n"));
  EXPECT_THAT(answer("100% + ?&#").body, HasSubstr("  input: 100% + ?&#\n"));
  EXPECT_THAT(answer("caf\xC3\xA9").body, HasSubstr("  input: caf\xC3\xA9\n"));
  EXPECT_THAT(answer("\r\n\r\n").body, HasSubstr("  input: \\n\\n\n"));
  EXPECT_THAT(answer("x", "/ask/below").body, HasSubstr("  site path: /below\n"));
}

TEST_F(SpartanInput, ComesInAnyPieces) {
  serve();
  const std::string bytes = "localhost /ask 11\r\nhello world";
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    TcpClient client(capsule.spartanPort());
    client.send(bytes.substr(0, cut));
    client.send(bytes.substr(cut));
    EXPECT_THAT(readSpartanReply(client).body, HasSubstr("  input: hello world\n")) << cut;
  }
  EXPECT_THAT(ask(bytes + " and what follows").body, HasSubstr("  input: hello world\n"));
}

TEST_F(SpartanInput, IsBoundedAndWhole) {
  serve();
  EXPECT_EQ(answer(std::string(64 * 1024, 'x')).status, 2);
  EXPECT_EQ(answer(std::string(64 * 1024 + 1, 'x')).status, 4);
  TcpClient half(capsule.spartanPort());
  half.send("localhost /ask 10\r\nhalf");
  half.finish();
  const SpartanReply reply = readSpartanReply(half);
  EXPECT_EQ(reply.status, 4) << reply;
  EXPECT_EQ(answer(std::string("a\0b", 3)).status, 4);
  EXPECT_EQ(answer("\xFF\xFE").status, 4);
}

TEST_F(SpartanInput, ASecretReachesNoLog) {
  capsule.set("log.level", "\"trace\"");
  serve("sensitive = true\n");
  EXPECT_THAT(get("/ask").body, HasSubstr("not encrypted"));
  EXPECT_EQ(answer("hunter2").status, 2);
  EXPECT_EQ(answer("hunter2\xFF").status, 4);
  capsule.stop();
  EXPECT_THAT(capsule.log(), HasSubstr("/ask"));
  EXPECT_THAT(capsule.log(), Not(HasSubstr("hunter2")));
}

class SpartanUpload : public Spartan {
 protected:
  void serve(const std::string& keys = "") {
    capsule.sites(
        "[sites.localhost.\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
        "[sites.localhost.\"/\".upload]\nover = [\"titan\", \"spartan\"]\n"
        "anyone = true\n" +
        keys);
    std::filesystem::permissions(capsule.root(), std::filesystem::perms(0777));
    capsule.start();
  }
  SpartanReply put(const std::string& path, std::string_view data) const {
    return ask("localhost " + path + " " + std::to_string(data.size()) + "\r\n" +
               std::string(data));
  }
};

TEST_F(SpartanUpload, StoresTheDataAndSendsToThePage) {
  serve();
  EXPECT_EQ(put("/new%20page.gmi", "# New\n").header, "3 /new%20page.gmi");
  EXPECT_EQ(get("/new%20page.gmi").body, "# New\n");
  EXPECT_EQ(capsule.get("/new%20page.gmi").body, "# New\n") << "the same over Gemini";
  EXPECT_EQ(put("/index.gmi", "\r\n\r\n").status, 3);
  EXPECT_EQ(readAll(capsule.root() / "index.gmi"), "\r\n\r\n");
  EXPECT_EQ(get("/index.gmi").status, 2) << "no data is no upload";
}

TEST_F(SpartanUpload, StoresNothingHalf) {
  serve("max_size = \"1KiB\"\n");
  TcpClient half(capsule.spartanPort());
  half.send("localhost /half.gmi 10\r\nhalf");
  half.finish();
  EXPECT_EQ(readSpartanReply(half).status, 4);
  EXPECT_EQ(put("/large.gmi", std::string(1025, 'x')).status, 4);
  EXPECT_EQ(put("/dir/", "x").status, 4);
  EXPECT_EQ(put("/missing/page.gmi", "x").status, 4);
  EXPECT_EQ(put("/../page.gmi", "x").status, 4);
  for (const char* name : {"half.gmi", "large.gmi", "dir", "missing"}) {
    EXPECT_FALSE(std::filesystem::exists(capsule.root() / name)) << name;
  }
  EXPECT_EQ(ask("localhost /whole.gmi 4\r\nwhole and more").status, 3);
  EXPECT_EQ(readAll(capsule.root() / "whole.gmi"), "whol");
}

TEST_F(SpartanUpload, NeedsAFolderThatSaysSo) {
  capsule.sites(
      "[sites.localhost.\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
      "[sites.localhost.\"/\".upload]\nanyone = true\n");
  capsule.start();
  EXPECT_EQ(put("/page.gmi", "x").status, 4);
  EXPECT_FALSE(std::filesystem::exists(capsule.root() / "page.gmi"));
}

TEST_F(SpartanUpload, IsRecordedAsOthersAre) {
  serve("quota = \"8202B\"\n");  // two blocks and ten bytes
  EXPECT_EQ(put("/page.gmi", "12345").status, 3);
  EXPECT_EQ(put("/more.gmi", "123456").status, 4) << "whoever shows no certificate shares a quota";
  capsule.stop();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((capsule.dir() / "state/db/egalaxyd.db").c_str(), &database), SQLITE_OK);
  std::string records;
  const auto note = [](void* to, int columns, char** values, char**) {
    for (int i = 0; i < columns; ++i)
      *static_cast<std::string*>(to) += std::string(values[i]) + "|";
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(database,
                         "SELECT protocol, host, path, mime, size, user IS NULL, outcome "
                         "FROM uploads ORDER BY id",
                         note, &records, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(records,
            "spartan|localhost|/page.gmi|text/gemini|5|1|stored|"
            "spartan|localhost|/more.gmi|text/gemini|6|1|refused|");
}

TEST_F(Spartan, ServesTheClientThatPeopleUse) {
  if (!isInstalled("python3")) GTEST_SKIP() << "python3 is not installed";
  capsule.page("dir/index.gmi", "# Folder\n");
  capsule.start();
  const auto fetch = [&](const std::string& path) {
    return runProgram({"python3", EGALAXYD_SPARTAN_CLIENT,
                       "spartan://localhost:" + std::to_string(capsule.spartanPort()) + path},
                      capsule.dir().path());
  };
  EXPECT_EQ(fetch("").out, "# Welcome\n");
  EXPECT_EQ(fetch("/my%20file.txt").out, "mine\n");
  EXPECT_EQ(fetch("/dir").out, "# Folder\n");
  EXPECT_EQ(fetch("/my dir").out, "# Folder\n");
  EXPECT_EQ(fetch("/missing").status.code, 4);
}

TEST_F(SpartanInput, ServesTheClientThatPeopleUse) {
  if (!isInstalled("python3")) GTEST_SKIP() << "python3 is not installed";
  serve();
  const std::string url = "spartan://localhost:" + std::to_string(capsule.spartanPort()) + "/ask";
  const auto fetch = [&](const std::string& address) {
    return runProgram({"python3", EGALAXYD_SPARTAN_CLIENT, address}, capsule.dir().path()).out;
  };
  EXPECT_THAT(fetch(url), HasSubstr("=: /ask Answer\n"));
  EXPECT_THAT(fetch(url + "?hello%20world"), HasSubstr("  input: hello world\n"));
}

}  // namespace
}  // namespace egalaxyd
