// Folders and files as clients see them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/capsule.h"
#include "tests/support/deadline.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class StaticFiles : public testing::Test {
 protected:
  /// One site, "localhost", whose "/" has these further arguments.
  void directory(const std::string& arguments) {
    capsule.sites("[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n" +
                  arguments + "\n");
  }

  void link(const std::string& target, const std::string& name) {
    std::filesystem::create_directories((capsule.root() / name).parent_path());
    std::filesystem::create_symlink(target, capsule.root() / name);
  }

  Capsule capsule;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  unsigned state = 12345;
  for (char& byte : text) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return text;
}

/// Whether the page comes to be so.
bool becomes(const Capsule& capsule, std::string_view path, int status, std::string_view body) {
  return eventually([&] {
    const Reply reply = capsule.get(path);
    return reply.status == status && reply.body == body;
  });
}

TEST_F(StaticFiles, AreThoseOfTheLatestDeploy) {
  const std::filesystem::path current = capsule.dir() / "app/current";
  const auto deploy = [&](const std::string& release) {
    std::filesystem::create_directory_symlink("releases/" + release, current.string() + ".new");
    std::filesystem::rename(current.string() + ".new", current);
  };
  capsule.dir().write("app/releases/r1/public/page.gmi", "first");
  deploy("r1");
  capsule.sites(
      "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"app/current/public\"\n"
      "[sites.\"localhost\".\"/one\"]\nmodule = \"file\"\npath = "
      "\"app/current/public/page.gmi\"\n");
  capsule.set("server.workers", "1");  // each sees a deploy for itself
  capsule.start();
  EXPECT_EQ(capsule.get("/page.gmi").body, "first");
  capsule.dir().write("app/releases/r2/public/page.gmi", "second");
  deploy("r2");
  EXPECT_TRUE(becomes(capsule, "/page.gmi", 20, "second"));
  EXPECT_TRUE(becomes(capsule, "/one", 20, "second"));

  std::filesystem::remove_all(capsule.dir() / "app/releases/r2/public");
  EXPECT_TRUE(becomes(capsule, "/page.gmi", 41, ""));
  EXPECT_TRUE(capsule.waitForLog("is gone: its requests are answered 41"));
  EXPECT_EQ(capsule.get("/page.gmi").status, 41);
  capsule.dir().write("app/releases/r2/public/page.gmi", "third");
  EXPECT_TRUE(becomes(capsule, "/page.gmi", 20, "third"));
  EXPECT_TRUE(capsule.waitForLog("is back"));
}

TEST_F(StaticFiles, AreAwayWhileTheirRootIsNoFolder) {
  const std::filesystem::path root = capsule.dir() / "app/public";
  capsule.dir().write("app/public/page.gmi", "first");
  capsule.sites(
      "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"app/public\"\n"
      "listing = true\n");
  capsule.set("server.workers", "1");  // each sees for itself that it is gone
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  std::filesystem::remove_all(root);
  EXPECT_EQ(capsule.get("/").status, 41) << "no listing of what is gone";
  capsule.dir().write("app/public", "a file");
  EXPECT_TRUE(becomes(capsule, "/", 41, ""));
  EXPECT_TRUE(capsule.waitForLog("is gone: its requests are answered 41"));
  std::filesystem::remove(root);
  capsule.dir().write("app/public/page.gmi", "second");
  EXPECT_TRUE(becomes(capsule, "/page.gmi", 20, "second"));
}

TEST_F(StaticFiles, AreNeverPrivateKeys) {
  const std::string pem = "-----BEGIN EC PRIVATE KEY-----\n" + std::string(64, 'M') +
                          "\n-----END EC PRIVATE KEY-----\n";
  directory("listing = true");
  capsule.page("page.gmi", "# About -----BEGIN PRIVATE KEY-----\n");
  link("new.key", "HEADER.gmi");
  capsule.start();
  capsule.page("new.key", pem);
  std::filesystem::rename(capsule.root() / "new.key", capsule.root() / "server.key");
  capsule.page("new.key", "Welcome\n" + pem);
  for (const char* path : {"/server.key", "/new.key", "/HEADER.gmi"}) {
    EXPECT_EQ(capsule.get(path).status, 51) << path;
  }
  EXPECT_EQ(capsule.get("/page.gmi").status, 20);
  const std::string listing = capsule.get("/").body;
  EXPECT_THAT(listing, HasSubstr("page.gmi"));
  EXPECT_EQ(listing.find("key"), std::string::npos) << listing;
  EXPECT_EQ(listing.find("Welcome"), std::string::npos) << listing;
  EXPECT_TRUE(capsule.waitForLog("server.key is a private key and is not served"));
}

TEST_F(StaticFiles, WithNamesThatAreNoTextAreNamedInTheLog) {
  directory("listing = true");
  capsule.page("caf\xE9.gmi", "latin1");
  capsule.page("line\nbreak", "x");
  capsule.start();
  EXPECT_EQ(capsule.get("/").body, "# /\n\n");
  EXPECT_TRUE(capsule.waitForLog("2 names in the folder / are neither listed nor served"));
  EXPECT_EQ(capsule.get("/caf%E9.gmi").status, 51);
}

TEST_F(StaticFiles, ShowsTheIndexOfAFolder) {
  capsule.page("index.gmi", "# Root\n");
  capsule.page("sub/index.gemini", "# Sub\n");
  capsule.page("both/index.gmi", "# First\n");
  capsule.page("both/index.gemini", "# Second\n");
  capsule.page("bare/page.gmi", "# Page\n");
  capsule.start();
  EXPECT_EQ(capsule.get("/").body, "# Root\n");
  EXPECT_EQ(capsule.get("/sub/").body, "# Sub\n");
  EXPECT_EQ(capsule.get("/both/").body, "# First\n");
  EXPECT_EQ(capsule.get("/bare/").status, 51);
  EXPECT_EQ(capsule.get("/bare/page.gmi").body, "# Page\n");
}

TEST_F(StaticFiles, TakesOtherNamesForTheIndex) {
  capsule.page("start.txt", "Start\n");
  directory("index = [\"none.gmi\", \"start.txt\"]");
  capsule.start();
  const Reply reply = capsule.get("/");
  EXPECT_EQ(reply.body, "Start\n");
  EXPECT_THAT(reply.meta, StartsWith("text/plain"));
}

TEST_F(StaticFiles, SendsAFolderWithoutItsSlashToTheRightUrl) {
  capsule.page("dir/index.gmi", "# Dir\n");
  capsule.page("my dir/index.gmi", "# Mine\n");
  capsule.page("caf\xC3\xA9/index.gmi", "# Coffee\n");
  capsule.start();
  EXPECT_EQ(capsule.get("/dir").header, "31 " + capsule.url("/dir/"));
  EXPECT_EQ(capsule.get("/dir?x=1").header, "31 " + capsule.url("/dir/?x=1"));
  EXPECT_EQ(capsule.get("/dir?").header, "31 " + capsule.url("/dir/?"));
  EXPECT_EQ(capsule.get("/my%20dir?a%20b").header, "31 " + capsule.url("/my%20dir/?a%20b"));
  EXPECT_EQ(capsule.get("/caf%C3%A9").header, "31 " + capsule.url("/caf%C3%A9/"));
  EXPECT_EQ(capsule.get("/caf\xC3\xA9").header, "31 " + capsule.url("/caf%C3%A9/"));
  EXPECT_EQ(capsule.get("//dir").header, "31 " + capsule.url("/dir/"));
  const Reply plain = fetch(capsule.port(), "gemini://localhost/dir");
  EXPECT_TRUE(plain.header == "31 /dir/" || plain.header == "31 gemini://localhost/dir/") << plain;
}

TEST_F(StaticFiles, ListsAFolderAsGemtext) {
  capsule.page("pub/b.gmi", "bb\n");
  capsule.page("pub/a b?#%.gmi", "strange\n");
  capsule.page("pub/zoo/index.gmi", "zoo\n");
  capsule.page("pub/.hidden", "h\n");
  capsule.page("pub/foo:bar.txt", "scheme?\n");
  capsule.page("pub/HEADER.gmi", "# Files\r\nWelcome\r\n");
  capsule.page("pub/line\nbreak.gmi", "=> gemini://evil.test/ bad\n");
  directory("listing = true");
  capsule.start();
  const Reply reply = capsule.get("/pub/");
  ASSERT_EQ(reply.status, 20) << reply;
  EXPECT_THAT(reply.meta, StartsWith("text/gemini"));
  EXPECT_EQ(reply.body.find('\r'), std::string::npos) << "mixed line ends";
  EXPECT_EQ(reply.body.back(), '\n');
  EXPECT_THAT(reply.body, StartsWith("# Files\nWelcome\n"));
  EXPECT_THAT(reply.body, testing::Not(HasSubstr(".hidden")));
  EXPECT_THAT(reply.body, testing::Not(HasSubstr("HEADER")));
  const auto zoo = reply.body.find("=> ./zoo/ ");
  const auto strange = reply.body.find("=> ./a%20b%3F%23%25.gmi a b?#%.gmi");
  const auto b = reply.body.find("=> ./b.gmi b.gmi");
  ASSERT_NE(zoo, std::string::npos) << reply.body;
  ASSERT_NE(strange, std::string::npos) << reply.body;
  ASSERT_NE(b, std::string::npos) << reply.body;
  EXPECT_THAT(reply.body, HasSubstr("=> ./foo:bar.txt foo:bar.txt"));
  EXPECT_LT(zoo, strange);
  EXPECT_LT(strange, b);
  EXPECT_EQ(capsule.get("/pub/a%20b%3F%23%25.gmi").body, "strange\n");
  std::istringstream lines(reply.body);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(line.rfind("=> ", 0) != 0 || line.rfind("=> ./", 0) == 0 ||
                line.rfind("=> ../", 0) == 0)
        << line;
    EXPECT_NE(line.rfind("break.gmi", 0), 0U) << "a file's name began a line";
  }
}

TEST_F(StaticFiles, ListsAnEmptyFolder) {
  std::filesystem::create_directories(capsule.root() / "empty");
  directory("listing = true");
  capsule.start();
  const Reply reply = capsule.get("/empty/");
  EXPECT_EQ(reply.status, 20) << reply;
  EXPECT_EQ(reply.body.back(), '\n');
}

TEST_F(StaticFiles, HidesDotFilesUnlessTold) {
  capsule.page(".secret", "s\n");
  capsule.page(".git/config", "c\n");
  capsule.page("dir/.secret", "s\n");
  capsule.start();
  for (const char* path : {"/.secret", "/.git/config", "/.git/", "/.git", "/dir/.secret",
                           "/%2Esecret", "/dir/../.secret"}) {
    EXPECT_EQ(capsule.get(path).status, 51) << path;
  }
  directory("hidden = true");
  capsule.writeConfig();
  capsule.reload();
  EXPECT_TRUE(eventually([&] { return capsule.get("/.secret").body == "s\n"; }));
  EXPECT_EQ(capsule.get("/.git/config").body, "c\n");
}

class Symlinks : public StaticFiles {
 protected:
  void SetUp() override {
    capsule.page("file.gmi", "inside\n");
    capsule.page("sub/page.gmi", "below\n");
    capsule.dir().write("outside.gmi", "outside\n");
    capsule.dir().write("outdir/page.gmi", "outside too\n");
    link("file.gmi", "in.gmi");
    link("sub", "insub");
    link("../file.gmi", "sub/up.gmi");
    link("../outside.gmi", "out.gmi");
    link((capsule.dir() / "outside.gmi").string(), "absolute.gmi");
    link("../outdir", "outdir");
    link("nowhere", "dangling");
    link("loop", "loop");
  }
};

TEST_F(Symlinks, AreFollowedInsideTheRootByDefault) {
  capsule.start();
  EXPECT_EQ(capsule.get("/in.gmi").body, "inside\n");
  EXPECT_EQ(capsule.get("/insub/page.gmi").body, "below\n");
  EXPECT_EQ(capsule.get("/sub/up.gmi").body, "inside\n");
  for (const char* path :
       {"/out.gmi", "/absolute.gmi", "/outdir/page.gmi", "/outdir/", "/dangling", "/loop"}) {
    const Reply reply = capsule.get(path);
    EXPECT_EQ(reply.status, 51) << path << ": " << reply;
  }
}

TEST_F(Symlinks, AreNotThereWhenDenied) {
  directory("symlinks = \"deny\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/file.gmi").body, "inside\n");
  for (const char* path : {"/in.gmi", "/insub/page.gmi", "/insub/", "/sub/up.gmi", "/out.gmi",
                           "/absolute.gmi", "/outdir/page.gmi", "/dangling", "/loop"}) {
    EXPECT_EQ(capsule.get(path).status, 51) << path;
  }
}

TEST_F(Symlinks, LeadAnywhereWhenFollowed) {
  directory("symlinks = \"follow\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/in.gmi").body, "inside\n");
  EXPECT_EQ(capsule.get("/out.gmi").body, "outside\n");
  EXPECT_EQ(capsule.get("/absolute.gmi").body, "outside\n");
  EXPECT_EQ(capsule.get("/outdir/page.gmi").body, "outside too\n");
  for (const char* path : {"/dangling", "/loop", "/../outside.gmi"}) {
    EXPECT_NE(capsule.get(path).status, 20) << path;
  }
}

TEST_F(StaticFiles, ServesNothingButFiles) {
  capsule.page("index.gmi", "# Root\n");
  const std::filesystem::path fifo = capsule.root() / "fifo.gmi";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0666), 0);
  link("/dev/zero", "zero.gmi");
  link("/dev/null", "null.gmi");
  directory("symlinks = \"follow\"\nlisting = true");
  capsule.start();
  for (const char* path : {"/fifo.gmi", "/zero.gmi", "/null.gmi"}) {
    const Reply reply = capsule.get(path);
    EXPECT_EQ(reply.status, 51) << path << ": " << reply;
  }
  const int writer = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(writer, -1) << "the server reads from a FIFO";
  if (writer >= 0) ::close(writer);
  EXPECT_EQ(capsule.get("/").status, 20);
}

TEST_F(StaticFiles, SendsEveryByteOfEverySize) {
  const std::size_t sizes[] = {0, 1, 2, 16383, 16384, 16385, 32768, 65536, 65537, 1048576};
  for (const std::size_t size : sizes) capsule.page(std::to_string(size) + ".bin", pattern(size));
  capsule.start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsSettings settings;
    settings.maxVersion = version;
    for (const std::size_t size : sizes) {
      const Reply reply = capsule.get(std::string("/") + std::to_string(size) + ".bin", settings);
      EXPECT_EQ(reply.header, "20 application/octet-stream");
      EXPECT_TRUE(reply.body == pattern(size)) << size << ": " << reply;
      EXPECT_TRUE(reply.complete()) << size << ": " << reply;
    }
  }
}

TEST_F(StaticFiles, SendsALargeFile) {
  const std::string content = pattern(64U * 1024 * 1024);
  capsule.page("large.bin", content);
  capsule.start();
  const Reply reply = capsule.get("/large.bin");
  EXPECT_TRUE(reply.body == content) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
}

TEST_F(StaticFiles, EndsWithoutCloseNotifyWhenTheFileShrinks) {
  capsule.page("index.gmi", "# Root\n");
  capsule.page("large.bin", std::string(40'000'000, 'x'));
  capsule.start();
  const std::vector<pid_t> workers = capsule.workerPids();
  TlsSettings settings;
  settings.tcp.receiveBuffer = 16 * 1024;
  GeminiClient client(capsule.port(), settings);
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/large.bin") + "\r\n");
  const std::string start = client.read(1000);
  ASSERT_EQ(start.substr(0, 3), "20 ");
  std::filesystem::resize_file(capsule.root() / "large.bin", 10);
  const Reply reply = client.readReply(start);
  EXPECT_LT(reply.body.size(), 40'000'000U);
  EXPECT_FALSE(reply.closeNotify) << "half a file looks like a whole one";
  EXPECT_NE(reply.ending, Ending::kTimedOut) << reply;
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(capsule.workerPids(), workers);
}

TEST_F(StaticFiles, FinishesAFileThatWasRemovedMeanwhile) {
  const std::string content = pattern(20'000'000);
  capsule.page("large.bin", content);
  capsule.start();
  TlsSettings settings;
  settings.tcp.receiveBuffer = 16 * 1024;
  GeminiClient client(capsule.port(), settings);
  ASSERT_TRUE(client.handshake());
  client.send(capsule.url("/large.bin") + "\r\n");
  const std::string start = client.read(1000);
  std::filesystem::remove(capsule.root() / "large.bin");
  const Reply reply = client.readReply(start);
  EXPECT_TRUE(reply.body == content) << reply;
  EXPECT_TRUE(reply.complete()) << reply;
  EXPECT_EQ(capsule.get("/large.bin").status, 51);
}

TEST_F(StaticFiles, KeepsItsMemoryFlatUnderSlowReaders) {
#ifdef EGALAXYD_SANITIZED
  GTEST_SKIP() << "the memory of an instrumented server says nothing";
#endif
  capsule.set("server.workers", "1");
  capsule.page("index.gmi", "# Root\n");
  capsule.page("large.bin", std::string(64U * 1024 * 1024, 'x'));
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  const pid_t worker = capsule.workerPids().at(0);
  const std::size_t before = anonymousKib(worker);
  TlsSettings settings;
  settings.tcp.receiveBuffer = 16 * 1024;
  std::vector<std::unique_ptr<GeminiClient>> readers;
  for (int i = 0; i < 20; ++i) {
    readers.push_back(std::make_unique<GeminiClient>(capsule.port(), settings));
    ASSERT_TRUE(readers.back()->handshake());
    readers.back()->send(capsule.url("/large.bin") + "\r\n");
  }
  for (int round = 0; round < 50; ++round) {
    for (const auto& reader : readers) ASSERT_NE(reader->read(16 * 1024), "");
  }
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_LT(anonymousKib(worker), before + 32 * 1024) << "KiB, from " << before;
}

TEST_F(StaticFiles, KnowsMediaTypes) {
  const std::vector<std::pair<std::string, std::string>> types = {
      {"a.gmi", "text/gemini"},
      {"a.gemini", "text/gemini"},
      {"A.GMI", "text/gemini"},
      {"a.txt", "text/plain"},
      {"a.md", "text/markdown"},
      {"a.html", "text/html"},
      {"a.png", "image/png"},
      {"a.jpg", "image/jpeg"},
      {"a.jpeg", "image/jpeg"},
      {"a.pdf", "application/pdf"},
      {"a.txt.gz", "application/gzip"},
      {"a.tar.gz", "application/gzip"},
      {"x.unknown-type", "application/octet-stream"},
      {"README", "application/octet-stream"}};
  for (const auto& [name, type] : types) capsule.page(name, "\x01\xFF\n");
  capsule.start();
  for (const auto& [name, type] : types) {
    const Reply reply = capsule.get("/" + name);
    EXPECT_EQ(reply.meta.substr(0, reply.meta.find(';')), type) << name;
    EXPECT_EQ(reply.body, "\x01\xFF\n") << name;
  }
}

TEST_F(StaticFiles, TakesMediaTypesFromTheConfiguration) {
  capsule.page("a.foo", "x");
  capsule.page("a.txt", "x");
  capsule.page("a.none", "x");
  directory(
      "mime = {\".foo\" = \"text/x-foo\", \".txt\" = \"text/x-own\"}\n"
      "default_type = \"application/x-other\"");
  capsule.start();
  EXPECT_THAT(capsule.get("/a.foo").meta, StartsWith("text/x-foo"));
  EXPECT_THAT(capsule.get("/a.txt").meta, StartsWith("text/x-own"));
  EXPECT_EQ(capsule.get("/a.none").meta, "application/x-other");
}

TEST_F(StaticFiles, NamesCharsetAndLanguageOfText) {
  capsule.page("a.gmi", "x\n");
  capsule.page("a.txt", "x\n");
  capsule.page("a.png", "x");
  directory("charset = \"utf-8\"\nlang = \"de\"");
  capsule.start();
  const std::string gemtext = capsule.get("/a.gmi").meta;
  EXPECT_THAT(gemtext, StartsWith("text/gemini;"));
  EXPECT_THAT(gemtext, HasSubstr("; charset=utf-8"));
  EXPECT_THAT(gemtext, HasSubstr("; lang=de"));
  EXPECT_THAT(capsule.get("/a.txt").meta, HasSubstr("; charset=utf-8"));
  EXPECT_EQ(capsule.get("/a.png").meta, "image/png");
}

TEST_F(StaticFiles, NamesTheSitesLanguage) {
  capsule.page("a.gmi", "x\n");
  capsule.sites("[sites.\"localhost\"]\nroot = \"root\"\nlang = \"en\"\n");
  capsule.start();
  EXPECT_THAT(capsule.get("/a.gmi").meta, HasSubstr("; lang=en"));
}

TEST_F(StaticFiles, ServesFilesAsTheyAre) {
  const std::string page = "\xEF\xBB\xBF# BOM\r\nmixed\nends\r\n=: /post Say\n";
  capsule.page("a.gmi", page);
  capsule.start();
  EXPECT_EQ(capsule.get("/a.gmi").body, page);
}

TEST_F(StaticFiles, FollowsChangesOfTheFiles) {
  capsule.page("a.gmi", "one\n");
  capsule.start();
  EXPECT_EQ(capsule.get("/a.gmi").body, "one\n");
  capsule.page("a.gmi", "two, and longer\n");
  EXPECT_EQ(capsule.get("/a.gmi").body, "two, and longer\n");
  std::filesystem::remove(capsule.root() / "a.gmi");
  EXPECT_EQ(capsule.get("/a.gmi").status, 51);
}

TEST_F(StaticFiles, ShowsAFileThatItMayNotReadAsMissing) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  capsule.page("a.gmi", "secret\n");
  std::filesystem::permissions(capsule.root() / "a.gmi", std::filesystem::perms::none);
  capsule.start();
  EXPECT_EQ(capsule.get("/a.gmi").status, 51);
}

}  // namespace
}  // namespace egalaxyd
