#include "worker/module/directory_site.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/file/file_body.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

class DirectorySiteTest : public testing::Test {
 protected:
  std::unique_ptr<DirectorySite> site() {
    args_.root = dir_.path();
    const auto keys = std::make_shared<const PrivateFiles>(neverServed_);
    auto root = ServedRoot::openAt(args_.root, args_.symlinks, keys);
    return std::make_unique<DirectorySite>("example.org", args_, std::move(root).value(), keys);
  }
  Answer get(std::string path, std::string_view mount = "/") {
    return ask(requestFor(std::move(path), mount));
  }
  Answer ask(Request request) { return harness_.ask(*site(), std::move(request)); }

  const TempDir dir_;
  SiteHarness harness_;
  DirectoryArgs args_;
  PrivateFiles neverServed_;
};

TEST_F(DirectorySiteTest, ServesAFileByteForByte) {
  std::string bytes("\0\r\n\xFF", 4);
  dir_.write("a/x.unknown-extension", bytes);
  const Answer answer = get("/a/x.unknown-extension");
  EXPECT_EQ(answer.header(), "20 application/octet-stream");
  EXPECT_EQ(answer.body, bytes);
}

TEST_F(DirectorySiteTest, TheLongestPatternOfFilesThatFitsCounts) {
  for (const char* name : {"notes/a.txt", "notes/x/y/b.txt", "c.txt", "notes/d.gmi", "e/f.gmi"}) {
    dir_.write(name, "x");
  }
  args_.lang = "en";
  args_.charset = "utf-8";
  args_.files = {{"**/*.txt", "text/x-short", "", ""},
                 {"notes/**/*.txt", "text/gemini", "de", "latin1"},
                 {"*/f.gmi", "", "fi", ""},
                 {"?/f.gmi", "", "sv", ""}};
  EXPECT_EQ(get("/notes/a.txt").header(), "20 text/gemini; charset=latin1; lang=de");
  EXPECT_EQ(get("/notes/x/y/b.txt").header(), "20 text/gemini; charset=latin1; lang=de");
  EXPECT_EQ(get("/m/c.txt", "/m").header(), "20 text/x-short; charset=utf-8");
  EXPECT_EQ(get("/notes/d.gmi").header(), "20 text/gemini; charset=utf-8; lang=en");
  EXPECT_EQ(get("/e/f.gmi").header(), "20 text/gemini; charset=utf-8; lang=fi")
      << "by the alphabet";
}

TEST_F(DirectorySiteTest, ASidecarSaysWhatItsFolderHolds) {
  args_.lang = "en";
  args_.sidecar = Sidecar::kMeta;
  args_.files = {{"*", "text/x-operator", "", ""}};
  dir_.write(".meta",
             "a.gmi: ;lang=de\nb: text/html\ngone.gmi: 52 Gone for good\n**/*.fi: ;lang=fi");
  dir_.write("a.gmi", "x");
  dir_.write("b", "x");
  dir_.write("c.gmi", "x");
  dir_.write("sub/a.gmi", "x");
  dir_.write("sub/b.fi", "x");
  dir_.write("index.gmi", "x");
  args_.mime = {{".fi", "text/gemini"}};
  EXPECT_EQ(get("/a.gmi").header(), "20 text/x-operator; lang=de");
  EXPECT_EQ(get("/b").header(), "20 text/html");
  EXPECT_EQ(get("/c.gmi").header(), "20 text/x-operator");
  EXPECT_EQ(get("/gone.gmi").header(), "52 Gone for good");
  EXPECT_EQ(get("/sub/a.gmi").header(), "20 text/gemini; lang=en") << "of its own folder alone";
  EXPECT_EQ(get("/sub/b.fi").header(), "20 text/gemini; lang=fi");
  dir_.write("sub/.meta", "b.fi: 51 Not any more");
  EXPECT_EQ(get("/sub/b.fi").header(), "51 Not any more") << "the nearest counts";
}

TEST_F(DirectorySiteTest, ASidecarThatChangesIsReadAgain) {
  args_.sidecar = Sidecar::kMeta;
  dir_.write("a", "x");
  const auto tree = site();
  const auto header = [&] { return harness_.ask(*tree, requestFor("/a")).header(); };
  EXPECT_EQ(header(), "20 application/octet-stream");
  dir_.write(".meta", "a: text/plain");
  const Deadline deadline;
  while (header() != "20 text/plain") ASSERT_FALSE(deadline.passed());
  dir_.write(".meta", "a: text/html # longer");
  while (header() != "20 text/html") ASSERT_FALSE(deadline.passed());
  std::filesystem::remove(dir_ / ".meta");
  while (header() != "20 application/octet-stream") ASSERT_FALSE(deadline.passed());
}

TEST_F(DirectorySiteTest, ASidecarThatIsHugeOrBrokenSaysNothing) {
  args_.sidecar = Sidecar::kMeta;
  dir_.write("a.gmi", "x");
  dir_.write(".meta", "a.gmi: text/plain\n" + std::string(64 * 1024, '#'));
  std::ostringstream out;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_mt>(out)));
  EXPECT_EQ(get("/a.gmi").header(), "20 text/gemini");
  dir_.write(".meta", "what?\na.gmi: text/plain");
  EXPECT_EQ(get("/a.gmi").header(), "20 text/plain");
  spdlog::set_default_logger(before);
  const std::string log = out.str();
  EXPECT_NE(log.find(".meta: it counts for nothing"), std::string::npos) << log;
  EXPECT_NE(log.find(".meta: line 1: is no"), std::string::npos) << log;
}

TEST_F(DirectorySiteTest, ASidecarIsNeitherServedNorListedNorWritten) {
  args_.sidecar = Sidecar::kMeta;
  args_.hidden = true;
  args_.listing.emplace();
  args_.upload.emplace().anyone = true;
  dir_.write(".meta", "x: text/plain");
  dir_.write("sub/.meta", "x: text/plain");
  dir_.write(".other", "x");
  EXPECT_EQ(get("/.meta").status, 51);
  EXPECT_EQ(get("/sub/.meta").status, 51);
  EXPECT_EQ(get("/.other").status, 20);
  EXPECT_EQ(get("/").body.find(".meta"), std::string::npos);
  EXPECT_NE(get("/").body.find(".other"), std::string::npos);
  for (const char* path : {"/.meta", "/sub/.meta", "/.meta/x"}) {
    Request request = requestFor(path);
    request.upload.emplace().size = 1;
    EXPECT_EQ(ask(std::move(request)).status, 51) << path;
  }
}

TEST_F(DirectorySiteTest, WhatIsEditedHasItsTypeAndNoOtherHeader) {
  args_.sidecar = Sidecar::kMeta;
  args_.upload.emplace().anyone = true;
  dir_.write(".meta", "a.gmi: ;lang=de\nb.gmi: 52 Gone");
  dir_.write("a.gmi", "x");
  dir_.write("b.gmi", "x");
  for (const auto& [path, header] :
       {std::pair("/a.gmi", "20 text/gemini; lang=de"), std::pair("/b.gmi", "20 text/gemini")}) {
    Request request = requestFor(path);
    request.upload.emplace().edit = true;
    EXPECT_EQ(ask(std::move(request)).header(), header);
  }
}

TEST_F(DirectorySiteTest, AMollyFileSpeaksForTheFoldersBelowToo) {
  args_.sidecar = Sidecar::kMolly;
  args_.lang = "en";
  dir_.write(".molly", "DefaultLang = \"fi\"\nDefaultEncoding = \"utf-8\"");
  dir_.write("sub/.molly", "DefaultLang = \"sv\"\n[MimeOverrides]\n'x$' = \"text/x\"");
  dir_.write("a.gmi", "x");
  dir_.write("sub/deep/a.gmi", "x");
  dir_.write("sub/x", "x");
  EXPECT_EQ(get("/a.gmi").header(), "20 text/gemini; charset=utf-8; lang=fi");
  EXPECT_EQ(get("/sub/deep/a.gmi").header(), "20 text/gemini; charset=utf-8; lang=sv");
  EXPECT_EQ(get("/sub/x").header(), "20 text/x; charset=utf-8");
  EXPECT_EQ(get("/sub/.molly").status, 51);
}

TEST_F(DirectorySiteTest, NeverServesAPrivateKeyUnderAnyName) {
  neverServed_.add(dir_.write("server.key", "secret"));
  std::filesystem::create_symlink("server.key", dir_ / "link.txt");
  std::filesystem::create_hard_link(dir_ / "server.key", dir_ / "twin.txt");
  for (const char* path : {"/server.key", "/link.txt", "/twin.txt"}) {
    EXPECT_EQ(get(path).header(), "51 Not found") << path;
  }
}

/// PEM, as far as isPrivateKey() reads it.
std::string keyText() {
  return "-----BEGIN PRIVATE KEY-----\n" + std::string(64, 'A') + "\n-----END PRIVATE KEY-----\n";
}

TEST_F(DirectorySiteTest, NeverServesWhatCameToAKeysName) {
  neverServed_.add(dir_.write("server.key", "secret"));
  const auto tree = site();
  dir_.write("new.key", "another");
  fs::rename(dir_ / "new.key", dir_ / "server.key");
  EXPECT_EQ(harness_.ask(*tree, requestFor("/server.key")).header(), "51 Not found");
  dir_.write("sub/server.key", "something else of that name");
  EXPECT_EQ(harness_.ask(*tree, requestFor("/sub/server.key")).status, 20);
}

TEST_F(DirectorySiteTest, ServesWhatHasGotTheInodeOfAKeyThatIsGone) {
  // A hard link stands for it: the same inode, changed since.
  neverServed_.add(dir_.write("server.key", "secret"));
  std::filesystem::create_hard_link(dir_ / "server.key", dir_ / "page.txt");
  std::filesystem::remove(dir_ / "server.key");
  EXPECT_EQ(get("/page.txt").status, 51);
  fs::last_write_time(dir_ / "page.txt", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(get("/page.txt").status, 20);
}

TEST_F(DirectorySiteTest, NeverServesAnythingThatHoldsAPrivateKey) {
  args_.listing.emplace();
  dir_.write("server.key~", keyText());
  dir_.write("both.pem", std::string(30'000, 'x') + "\n" + keyText());
  dir_.write("page.gmi", "fine");
  dir_.write("edited", "fine");
  dir_.write("sub/index.gmi", keyText());
  fs::create_symlink("server.key~", dir_ / "HEADER.gmi");
  fs::create_symlink("server.key~", dir_ / "link");
  fs::create_symlink("page.gmi", dir_ / "moving");
  const auto tree = site();
  EXPECT_EQ(harness_.ask(*tree, requestFor("/edited")).body, "fine");
  EXPECT_EQ(harness_.ask(*tree, requestFor("/moving")).body, "fine");
  dir_.write("edited", keyText());
  fs::remove(dir_ / "moving");
  fs::create_symlink("server.key~", dir_ / "moving");
  for (const char* path :
       {"/server.key~", "/both.pem", "/link", "/HEADER.gmi", "/edited", "/moving", "/sub/"}) {
    EXPECT_EQ(harness_.ask(*tree, requestFor(path)).header(), "51 Not found") << path;
  }
  const std::string listing = harness_.ask(*tree, requestFor("/")).body;
  EXPECT_TRUE(listing.starts_with("# /\n\n=> ./sub/ sub/  ")) << listing;
  EXPECT_NE(listing.find("page.gmi"), std::string::npos);
  for (const char* name : {"key", "both", "link", "edited", "moving", "BEGIN"}) {
    EXPECT_EQ(listing.find(name), std::string::npos) << name << ":\n" << listing;
  }
}

TEST_F(DirectorySiteTest, NeverGivesAPrivateKeyToEdit) {
  args_.upload = UploadArgs{};
  args_.upload->anyone = true;
  dir_.write("server.key", keyText());
  Request request = requestFor("/server.key");
  request.protocol = Protocol::kTitan;
  request.upload = UploadLine{};
  request.upload->edit = true;
  EXPECT_EQ(ask(std::move(request)).header(), "51 Not found");
}

TEST_F(DirectorySiteTest, ServesAnEmptyFile) {
  dir_.write("empty.gmi", "");
  const Answer answer = get("/empty.gmi");
  EXPECT_EQ(answer.header(), "20 text/gemini");
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "");
}

TEST_F(DirectorySiteTest, ServesFilesOfEverySizeAroundAChunk) {
  for (const std::size_t size : {kBodyChunk - 1, kBodyChunk, kBodyChunk + 1, 10 * kBodyChunk + 7}) {
    std::string bytes(size, 'x');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 % 251);
    dir_.write("big", bytes);
    const Answer answer = get("/big");
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.body, bytes) << size;
  }
}

TEST_F(DirectorySiteTest, FindsNamesWithSpacesAndMarks) {
  dir_.write("my dir/a b?#%.gmi", "odd");
  EXPECT_EQ(get("/my dir/a b?#%.gmi").body, "odd");
}

TEST_F(DirectorySiteTest, TakesTheFirstIndexThatIsThere) {
  dir_.write("index.gemini", "second");
  EXPECT_EQ(get("/").body, "second");
  dir_.write("index.gmi", "first");
  EXPECT_EQ(get("/").body, "first");
  EXPECT_EQ(get("/").header(), "20 text/gemini");
}

TEST_F(DirectorySiteTest, SkipsAnIndexThatIsAFolder) {
  dir_.makeDir("index.gmi");
  dir_.write("index.gemini", "file");
  EXPECT_EQ(get("/").body, "file");
}

TEST_F(DirectorySiteTest, AnswersNotFoundWithoutIndexAndListing) {
  dir_.makeDir("sub");
  for (const char* path : {"/", "/sub/", "/missing", "/missing/", "/sub/missing"}) {
    EXPECT_EQ(get(path).header(), "51 Not found") << path;
  }
}

TEST_F(DirectorySiteTest, AnswersNotFoundToAFileWithATrailingSlash) {
  dir_.write("page.gmi", "x");
  EXPECT_EQ(get("/page.gmi/").status, 51);
  args_.listing.emplace();
  EXPECT_EQ(get("/page.gmi/").status, 51);
}

TEST_F(DirectorySiteTest, RedirectsAFolderToItsSlash) {
  dir_.makeDir("my dir");
  EXPECT_EQ(get("/my dir").header(), "31 /my%20dir/");
  EXPECT_EQ(get("/docs", "/docs").header(), "31 /docs/");
  EXPECT_EQ(get("/docs/my dir", "/docs").header(), "31 /docs/my%20dir/");
}

TEST_F(DirectorySiteTest, KeepsTheQueryInARedirect) {
  dir_.makeDir("dir");
  Request request = requestFor("/dir");
  request.query = "a=%20b?\u00e9";
  EXPECT_EQ(ask(request).header(), "31 /dir/?a=%20b?%C3%A9");
  request.query = "a;b=1";
  EXPECT_EQ(ask(request).header(), "31 /dir/?a;b=1");
  request.query = "";
  EXPECT_EQ(ask(request).header(), "31 /dir/?");
}

TEST_F(DirectorySiteTest, RedirectsToAPathThatTitanReadsTheSame) {
  dir_.makeDir("x;y");
  EXPECT_EQ(get("/x;y").header(), "31 /x%3By/");
}

TEST_F(DirectorySiteTest, RedirectsWithAFullUrlOnAnotherPort) {
  dir_.makeDir("dir");
  Request request = requestFor("/dir");
  request.port = 11965;
  EXPECT_EQ(ask(request).header(), "31 gemini://example.org:11965/dir/");
  request.host = "2001:db8::1";
  EXPECT_EQ(ask(request).header(), "31 gemini://[2001:db8::1]:11965/dir/");
  request.protocol = Protocol::kSpartan;
  EXPECT_EQ(ask(request).header(), "31 /dir/");
}

TEST_F(DirectorySiteTest, DoesNotRedirectToAUrlThatIsTooLong) {
  dir_.makeDir("dir");
  Request request = requestFor("/dir");
  request.query = std::string(kMaxUriBytes, 'q');
  EXPECT_EQ(ask(request).status, 59);
}

TEST_F(DirectorySiteTest, HidesDotNamesUnlessToldOtherwise) {
  dir_.write(".git/config", "secret");
  dir_.write("sub/.env", "secret");
  dir_.write("a.b/..c", "secret");
  for (const char* path : {"/.git/config", "/.git/", "/.git", "/sub/.env", "/a.b/..c"}) {
    EXPECT_EQ(get(path).header(), "51 Not found") << path;
  }
  args_.hidden = true;
  EXPECT_EQ(get("/.git/config").body, "secret");
}

TEST_F(DirectorySiteTest, MayBeMountedBelowADotName) {
  dir_.write("page.gmi", "x");
  EXPECT_EQ(get("/.well-known/page.gmi", "/.well-known").body, "x");
}

TEST_F(DirectorySiteTest, AnswersFromThePoolWhatTakesTime) {
  dir_.write("real.gmi", "through an absolute link");
  fs::create_symlink(dir_ / "real.gmi", dir_ / "link.gmi");
  EXPECT_EQ(get("/link.gmi").body, "through an absolute link");
}

TEST_F(DirectorySiteTest, AnswersBusyWhenThePoolIsFull) {
  dir_.write("real.gmi", "x");
  fs::create_symlink(dir_ / "real.gmi", dir_ / "link.gmi");
  SiteHarness noQueue(0);
  EXPECT_EQ(noQueue.ask(*site(), requestFor("/link.gmi")).header(), "41 Busy, try again soon");
}

TEST_F(DirectorySiteTest, ListsAFolderWithoutIndex) {
  args_.listing.emplace();
  args_.lang = "en,fr";
  dir_.write("sub/page.gmi", "x");
  Answer answer = get("/files/sub/", "/files");
  EXPECT_EQ(answer.header(), "20 text/gemini; lang=\"en,fr\"");
  EXPECT_TRUE(
      answer.body.starts_with("# /files/sub/\n\n=> ../ ../\n=> ./page.gmi page.gmi  1 B  "));
  answer = get("/files/", "/files");
  EXPECT_TRUE(answer.body.starts_with("# /files/\n\n=> ./sub/ sub/  ")) << answer.body;
}

TEST_F(DirectorySiteTest, ListsALargeFolderInPages) {
  args_.listing.emplace().page = 2;
  for (const char* name : {"a", "b", "c", "d", "e"}) dir_.write("sub/" + std::string(name), "x");
  EXPECT_NE(get("/files/sub/", "/files").body.find("=> ./;page=2 Next page\n"), std::string::npos);
  const Answer third = get("/files/sub/;page=3", "/files");
  EXPECT_EQ(third.header(), "20 text/gemini");
  EXPECT_TRUE(third.body.starts_with("# /files/sub/\n\n=> ../ ../\n=> ./e e  1 B  ")) << third.body;
  EXPECT_EQ(get("/files/;page=1", "/files").status, 20);
  for (const char* none : {"/files/sub/;page=4", "/files/sub/;page=0", "/files/sub/;page=x",
                           "/files/none/;page=2", "/files/sub/a/;page=1"}) {
    EXPECT_EQ(get(none, "/files").header(), "51 Not found") << none;
  }
  dir_.write("sub/;page=2", "a file");
  EXPECT_EQ(get("/files/sub/;page=2", "/files").body, "a file");
  fs::remove(dir_ / "sub/;page=2");
  dir_.write("sub/index.gmi", "x");
  EXPECT_EQ(get("/files/sub/;page=2", "/files").header(), "51 Not found");
  args_.listing.reset();
  fs::remove(dir_ / "sub/index.gmi");
  EXPECT_EQ(get("/files/sub/;page=2", "/files").header(), "51 Not found");
}

TEST_F(DirectorySiteTest, PrefersAnIndexToAListing) {
  args_.listing.emplace();
  dir_.write("index.gmi", "mine");
  EXPECT_EQ(get("/").body, "mine");
}

TEST_F(DirectorySiteTest, HoldsOnlySoManyListingsInMemory) {
  args_.listing.emplace();
  dir_.write("HEADER.gmi", std::string(60'000, 'x'));
  const auto tree = site();
  std::vector<Response> unread;
  for (;;) {
    auto response = harness_.respond(*tree, requestFor("/"));
    if (response->status == Status::kServerUnavailable) break;
    ASSERT_LT(unread.size(), 100u);
    unread.push_back(std::move(*response));
  }
  EXPECT_GE(unread.size(), 50u);
  unread.clear();
  EXPECT_EQ(harness_.ask(*tree, requestFor("/")).status, 20);
}

TEST_F(DirectorySiteTest, ChoosesTheMediaTypeByTheLongestExtension) {
  args_.mime = {
      {".gz", "application/gzip"}, {".Tar.GZ", "application/x-gtar"}, {".gmi", "text/x-mine"}};
  args_.defaultType = "text/plain";
  for (const char* name : {"a.tar.gz", "b.GZ", "v1.2.tar.gz", "page.gmi", "none", ".gmi"}) {
    dir_.write(name, "x");
  }
  args_.hidden = true;
  EXPECT_EQ(get("/a.tar.gz").meta, "application/x-gtar");
  EXPECT_EQ(get("/v1.2.tar.gz").meta, "application/x-gtar");
  EXPECT_EQ(get("/b.GZ").meta, "application/gzip");
  EXPECT_EQ(get("/page.gmi").meta, "text/x-mine");
  EXPECT_EQ(get("/none").meta, "text/plain");
}

TEST_F(DirectorySiteTest, AppendsCharsetAndLanguageWhereTheyBelong) {
  args_.charset = "utf-8";
  args_.lang = "en";
  args_.mime = {{".old", "text/plain; charset=latin1"}};
  for (const char* name : {"a.gmi", "a.txt", "a.png", "a.old"}) dir_.write(name, "x");
  EXPECT_EQ(get("/a.gmi").meta, "text/gemini; charset=utf-8; lang=en");
  EXPECT_EQ(get("/a.txt").meta, "text/plain; charset=utf-8");
  EXPECT_EQ(get("/a.png").meta, "image/png");
  EXPECT_EQ(get("/a.old").meta, "text/plain; charset=latin1");
}

TEST_F(DirectorySiteTest, FollowsItsRootWhenThatIsReplaced) {
  ServedRoots roots;
  const auto look = [&] {
    roots.look(harness_.pool(), true);
    while (harness_.pool().pending() > 0) harness_.turn();
  };
  dir_.write("r1/page.gmi", "first");
  dir_.write("r2/page.gmi", "second");
  fs::create_directory_symlink("r1", dir_ / "current");
  args_.listing.emplace();
  args_.root = dir_ / "current";
  const auto keys = std::make_shared<const PrivateFiles>();
  const auto root = roots.open(args_.root, args_.symlinks, keys).value();
  DirectorySite tree("example.org", args_, root, keys);
  const auto get = [&](const char* path) { return harness_.ask(tree, requestFor(path)); };
  EXPECT_EQ(get("/page.gmi").body, "first");

  const auto begun = harness_.respond(tree, requestFor("/page.gmi"));
  fs::create_directory_symlink("r2", dir_ / "next");
  fs::rename(dir_ / "next", dir_ / "current");
  look();
  EXPECT_EQ(get("/page.gmi").body, "second");
  std::string text;
  EXPECT_TRUE(harness_.readBody(*begun->body, text));
  EXPECT_EQ(text, "first");

  fs::remove_all(dir_ / "r2");
  EXPECT_EQ(get("/page.gmi").status, 41) << "before anybody has looked";
  look();
  EXPECT_EQ(get("/page.gmi").header(), "41 Away for a moment, try again soon");
  EXPECT_EQ(get("/").status, 41);
  look();
  dir_.write("r2/page.gmi", "third");
  look();
  EXPECT_EQ(get("/page.gmi").body, "third");

  fs::remove_all(dir_ / "r2");
  dir_.write("r2", "a file");
  look();
  EXPECT_EQ(get("/page.gmi").status, 41);
}

TEST_F(DirectorySiteTest, ARootThatComesLaterIsServedAfterALook) {
  ServedRoots roots;
  const auto look = [&] {
    bool looked = false;
    roots.look(harness_.pool(), true, [&] { looked = true; });
    while (harness_.pool().pending() > 0) harness_.turn();
    EXPECT_TRUE(looked);
  };
  args_.root = dir_ / "not/yet";
  const auto keys = std::make_shared<const PrivateFiles>();
  const auto root = roots.open(args_.root, args_.symlinks, keys).value();
  roots.watchFile(dir_ / "not/yet/page.gmi");
  DirectorySite tree("example.org", args_, root, keys);
  for (const std::size_t place : {0U, 1U}) {
    EXPECT_EQ(roots.presence(place).kind, Presence::Kind::kAway);
  }
  EXPECT_EQ(harness_.ask(tree, requestFor("/page.gmi")).status, 41);
  look();
  EXPECT_EQ(harness_.ask(tree, requestFor("/page.gmi")).status, 41);
  dir_.write("not/yet/page.gmi", "here");
  look();
  EXPECT_EQ(harness_.ask(tree, requestFor("/page.gmi")).body, "here");
  for (const std::size_t place : {0U, 1U}) EXPECT_EQ(roots.presence(place), Presence{});
  fs::remove_all(dir_ / "not");
  look();
  EXPECT_EQ(harness_.ask(tree, requestFor("/page.gmi")).status, 41);
  EXPECT_EQ(roots.presence(0).why, "there is no such folder");
  EXPECT_EQ(roots.presence(1).why, "there is no such file");
}

TEST_F(DirectorySiteTest, KeepsItsRootWhileNothingIsReplaced) {
  ServedRoots roots;
  const auto keys = std::make_shared<const PrivateFiles>();
  const auto root = roots.open(dir_.path(), SymlinkPolicy::kInside, keys).value();
  EXPECT_EQ(roots.open(dir_.path(), SymlinkPolicy::kInside, keys).value(), root);
  EXPECT_NE(roots.open(dir_.path(), SymlinkPolicy::kDeny, keys).value(), root);
  const auto before = root->now();
  roots.look(harness_.pool(), true);
  roots.look(harness_.pool(), true);
  EXPECT_EQ(harness_.pool().pending(), 1u) << "one look at a time";
  while (harness_.pool().pending() > 0) harness_.turn();
  EXPECT_EQ(root->now(), before);
}

TEST_F(DirectorySiteTest, AnswersNotFoundWhereItMayNotRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  fs::permissions(dir_.write("private.gmi", "x"), fs::perms::none);
  EXPECT_EQ(get("/private.gmi").status, 51);
}

/// Reading a file that changes under the reader.
class FileBodyTest : public testing::Test {
 protected:
  std::unique_ptr<FileBody> body(std::string_view name) {
    auto file = openFile(dir_ / name, Waiting::kAllowed, &noKeys_);
    return std::make_unique<FileBody>(std::move(file).value(), harness_.services());
  }
  /// A file of zeros that is open and, what it brings apart, on the disk alone.
  OpenFile uncached(std::string_view name, std::size_t size) {
    auto file = openFile(dir_.write(name, std::string(size, '\0')), Waiting::kAllowed, &noKeys_);
    constexpr unsigned kNowAndWait = SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    ::sync_file_range(file->fd.get(), 0, 0, kNowAndWait);  // fsync would wait for the journal too
    ::posix_fadvise(file->fd.get(), 0, 0, POSIX_FADV_DONTNEED);
    return std::move(file).value();
  }
  std::unique_ptr<FileBody> body(OpenFile file) {
    return std::make_unique<FileBody>(std::move(file), harness_.services());
  }
  /// Whether the pull behind what was read at opening had to go to the pool. A file system in
  /// memory may need none.
  static bool goesToThePool(FileBody& body) {
    std::array<char, kBodyChunk> scratch;
    EXPECT_EQ(body.pull(scratch).bytes.size(), kBodyChunk);
    return body.pull(scratch).state == BodyChunk::State::kLater;
  }

  const PrivateFiles noKeys_{};  ///< files are examined all the same
  const TempDir dir_;
  SiteHarness harness_;
};

TEST_F(FileBodyTest, FailsWhenTheFileShrinks) {
  const fs::path path = dir_.write("page", std::string(3 * kBodyChunk, 'x'));
  const auto reading = body("page");
  std::array<char, kBodyChunk> scratch;
  bool awake = false;
  reading->onWake([&] { awake = true; });
  BodyChunk chunk = reading->pull(scratch);
  while (chunk.state == BodyChunk::State::kLater) {
    while (!awake) harness_.turn();
    chunk = reading->pull(scratch);
  }
  ASSERT_EQ(chunk.bytes.size(), kBodyChunk);
  fs::resize_file(path, kBodyChunk + 10);
  std::string rest;
  EXPECT_FALSE(harness_.readBody(*reading, rest));
  EXPECT_EQ(rest.size(), 10u);
}

TEST_F(FileBodyTest, SendsTheSizeAtOpeningWhenTheFileGrows) {
  const fs::path path = dir_.write("page", "short");
  const auto reading = body("page");
  dir_.write("page", "short and longer");
  std::string text;
  EXPECT_TRUE(harness_.readBody(*reading, text));
  EXPECT_EQ(text, "short");
}

TEST_F(FileBodyTest, SendsTheWholeFileAfterItsNameHasGone) {
  const fs::path path = dir_.write("page", std::string(100'000, 'x'));
  const auto reading = body("page");
  fs::remove(path);
  std::string text;
  EXPECT_TRUE(harness_.readBody(*reading, text));
  EXPECT_EQ(text.size(), 100'000u);
}

TEST_F(FileBodyTest, ReadsInThePoolWhatIsNotInMemory) {
  std::string text;
  EXPECT_TRUE(harness_.readBody(*body(uncached("zeros", 5 * kBodyChunk + 3)), text));
  EXPECT_EQ(text, std::string(5 * kBodyChunk + 3, '\0'));
}

TEST_F(FileBodyTest, NoticesInThePoolThatTheFileShrank) {
  const auto reading = body(uncached("zeros", 3 * kBodyChunk));
  fs::resize_file(dir_ / "zeros", 10);
  std::string text;
  EXPECT_FALSE(harness_.readBody(*reading, text));
}

TEST_F(FileBodyTest, MayGoWhileThePoolReads) {
  SiteHarness::Jam jam(harness_.pool());
  auto reading = body(uncached("zeros", 2 * kBodyChunk));
  bool woken = false;
  reading->onWake([&] { woken = true; });
  if (!goesToThePool(*reading)) GTEST_SKIP() << "nothing leaves memory here";
  reading.reset();
  jam.release();
  while (harness_.pool().pending() > 0) harness_.turn();
  EXPECT_FALSE(woken);
}

TEST_F(FileBodyTest, MayGoInItsOwnWake) {
  auto reading = body(uncached("zeros", 2 * kBodyChunk));
  reading->onWake([&] {
    harness_.loop().stop();
    reading.reset();
  });
  if (!goesToThePool(*reading)) GTEST_SKIP() << "nothing leaves memory here";
  while (reading) harness_.loop().run();
}

TEST_F(FileBodyTest, TriesAgainWhenThePoolIsFull) {
  SiteHarness tight(1);
  SiteHarness::Jam jam(tight.pool());
  tight.pool().submit([] { return Result<int>(0); }, [](Result<int>) {});
  FileBody reading(uncached("zeros", 2 * kBodyChunk), tight.services());
  if (!goesToThePool(reading)) GTEST_SKIP() << "nothing leaves memory here";
  tight.loop().post([&] { tight.loop().stop(); });
  tight.loop().run();
  EXPECT_EQ(tight.loop().timerCount(), 1u) << "the pool was busy";
  reading.onWake([&] { tight.loop().stop(); });
  tight.loop().run();
  jam.release();
  std::string text;
  EXPECT_TRUE(tight.readBody(reading, text));
  EXPECT_EQ(text.size(), kBodyChunk);
}

}  // namespace
}  // namespace egalaxyd
