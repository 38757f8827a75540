// What the file module keeps in memory; the rest of it is in site_factory_test.cpp.
#include "worker/module/file_site.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

Request asked() { return requestFor("/f", "/f"); }

FileArgs cached(const fs::path& path, OptionalDuration cache) {
  FileArgs args;
  args.path = path;
  args.cache = cache;
  return args;
}

TEST(FileCache, AnswersWithoutTheFileOnceItHasIt) {
  const TempDir dir;
  const fs::path path = dir.write("page.gmi", std::string(40'000, 'x'));
  FileSite site(cached(path, kForever), "en");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asked()).body.size(), 40'000U);
  fs::remove(path);
  for (int i = 0; i < 3; ++i) {
    const Answer answer = harness.ask(site, asked());
    EXPECT_EQ(answer.header(), "20 text/gemini; lang=en");
    EXPECT_EQ(answer.body, std::string(40'000, 'x'));
  }
  EXPECT_EQ(harness.pool().pending(), 0U);
}

TEST(FileCache, ReadsAnewWhenItsTimeIsOver) {
  const TempDir dir;
  const fs::path path = dir.write("page", "old");
  FileSite brief(cached(path, milliseconds(0)), "");
  FileSite lasting(cached(path, milliseconds(3'600'000)), "");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(brief, asked()).body, "old");
  EXPECT_EQ(harness.ask(lasting, asked()).body, "old");
  dir.write("page", "new");
  EXPECT_EQ(harness.ask(brief, asked()).body, "new");
  EXPECT_EQ(harness.ask(lasting, asked()).body, "old");
  fs::remove(path);
  EXPECT_EQ(harness.ask(brief, asked()).status, 51);
}

TEST(FileCache, KeepsNoFailure) {
  const TempDir dir;
  FileSite site(cached(dir / "page", kForever), "");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asked()).status, 51);
  dir.write("page", "");
  EXPECT_EQ(harness.ask(site, asked()).status, 20);
  dir.write("page", "more");
  EXPECT_EQ(harness.ask(site, asked()).body, "");
}

TEST(FileCache, ServesALargeFileAsWithout) {
  const TempDir dir;
  const fs::path path = dir.write("big", std::string(kMaxCachedBytes + 1, 'x'));
  FileSite site(cached(path, kForever), "");
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asked()).body.size(), kMaxCachedBytes + 1);
  dir.write("big", "small");
  EXPECT_EQ(harness.ask(site, asked()).body, "small");
  dir.write("exact", std::string(kMaxCachedBytes, 'x'));
  FileSite exact(cached(dir / "exact", kForever), "");
  EXPECT_EQ(harness.ask(exact, asked()).body.size(), kMaxCachedBytes);
  fs::remove(dir / "exact");
  EXPECT_EQ(harness.ask(exact, asked()).body.size(), kMaxCachedBytes);
}

TEST(FileCache, ReadsOnceForAllWhoCome) {
  const TempDir dir;
  FileSite site(cached(dir.write("page", "text"), kForever), "");
  SiteHarness harness(1);
  SiteHarness::Jam jam(harness.pool());
  int answered = 0;
  for (int i = 0; i < 5; ++i) {
    site.handle(asked(), Responder([&](std::optional<Response> response) {
                  EXPECT_TRUE(response && response->status == Status::kSuccess);
                  ++answered;
                }),
                harness.services());
  }
  FileSite other(cached(dir / "page", kForever), "");
  const int full = harness.ask(other, asked()).status;
  EXPECT_TRUE(full == 20 || full == 41) << full << ": the queue holds the one reading, and what is "
                                        << "in memory needs no queue";
  jam.release();
  while (answered < 5) harness.turn();
}

TEST(FileSite, AtTheRootOfAMapAnswersBothSpellings) {
  const TempDir dir;
  FileSite site(cached(dir.write("page", "text"), {}), "", true);
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, requestFor("/f/", "/f")).status, 20);
  EXPECT_EQ(harness.ask(site, requestFor("/f", "/f")).status, 20);
  EXPECT_EQ(harness.ask(site, requestFor("/f/x", "/f")).status, 51);
}

}  // namespace
}  // namespace egalaxyd
