#include "worker/file/directory_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

class DirectoryPage : public testing::Test {
 protected:
  /// A file with a known date.
  void file(const std::string& name, std::size_t size = 5) {
    date(dir_.write(name, std::string(size, 'x')));
  }
  void folder(const std::string& name) { date(dir_.makeDir(name)); }
  static void date(const fs::path& path) {
    const timespec when{1'767'323'045, 0};  // 2026-01-02 03:04:05 UTC
    const timespec both[] = {when, when};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), both, 0), 0);
  }

  static std::ptrdiff_t lines(const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  }

  std::string page(const std::string& folder = "") {
    return page({folder, "/files/", false, false, kMaxListedEntries});
  }
  std::string page(const DirectoryPageRequest& request) {
    auto root = SiteRoot::openAt(dir_.path(), symlinks_);
    auto text = directoryPage(*root, request);
    return text ? *text : "error: " + text.error().message;
  }

  const TempDir dir_;
  SymlinkPolicy symlinks_ = SymlinkPolicy::kInside;
};

TEST_F(DirectoryPage, ListsFoldersFirstThenFilesByName) {
  file("b.txt");
  file("B.txt");
  file("a.gmi", 1536);
  folder("zoo");
  folder("ant");
  EXPECT_EQ(page(),
            "# /files/\n"
            "\n"
            "=> ./ant/ ant/  2026-01-02\n"
            "=> ./zoo/ zoo/  2026-01-02\n"
            "=> ./B.txt B.txt  5 B  2026-01-02\n"
            "=> ./a.gmi a.gmi  1.5 KiB  2026-01-02\n"
            "=> ./b.txt b.txt  5 B  2026-01-02\n");
}

TEST_F(DirectoryPage, EncodesNamesInLinksAndShowsThemAsTheyAre) {
  file("a b?#%.gmi");
  file("foo:bar");
  file("caf\u00e9;x");
  EXPECT_EQ(page(),
            "# /files/\n"
            "\n"
            "=> ./a%20b%3F%23%25.gmi a b?#%.gmi  5 B  2026-01-02\n"
            "=> ./caf%C3%A9%3Bx caf\u00e9;x  5 B  2026-01-02\n"
            "=> ./foo:bar foo:bar  5 B  2026-01-02\n");
}

TEST_F(DirectoryPage, LeavesOutNamesThatNobodyCanAskFor) {
  file("line\nbreak");
  file("carriage\rreturn");
  file("tab\tbed");
  file("latin1-\xE9");
  file("c1-\xC2\x85");
  EXPECT_EQ(page(), "# /files/\n\n");
}

TEST_F(DirectoryPage, BreaksNoLineAtALineSeparator) {
  file("a\u2028b");
  EXPECT_EQ(page(), "# /files/\n\n=> ./a%E2%80%A8b a\uFFFDb  5 B  2026-01-02\n");
}

TEST_F(DirectoryPage, LinksToTheParentWhereTheSiteHasOne) {
  folder("sub");
  EXPECT_EQ(page({"sub", "/files/sub/", false, true, kMaxListedEntries}),
            "# /files/sub/\n\n=> ../ ../\n");
}

TEST_F(DirectoryPage, ShowsHiddenEntriesOnlyWhenAskedTo) {
  file(".secret");
  EXPECT_EQ(page(), "# /files/\n\n");
  EXPECT_EQ(page({"", "/", true, false, kMaxListedEntries}),
            "# /\n\n=> ./.secret .secret  5 B  2026-01-02\n");
}

TEST_F(DirectoryPage, PutsTheHeaderBelowTheTitleWithOneKindOfLineEnd) {
  dir_.write("HEADER.gmi", "Hello\r\nthere\rfriend");
  EXPECT_EQ(page(), "# /files/\n\nHello\nthere\nfriend\n\n");
}

TEST_F(DirectoryPage, TakesTheHeadersOwnTitle) {
  dir_.write("HEADER.gmi", "\xEF\xBB\xBF# Mine\n");
  EXPECT_EQ(page(), "# Mine\n\n");
}

TEST_F(DirectoryPage, EndsPreformattedTextThatTheHeaderLeavesOpen) {
  dir_.write("HEADER.gmi", "Hello\n```art\n=> ./no link");
  EXPECT_EQ(page(), "# /files/\n\nHello\n```art\n=> ./no link\n```\n\n");
  dir_.write("HEADER.gmi", "```\r\n\r\n```\r\n ``` \r\n");
  EXPECT_EQ(page(), "# /files/\n\n```\n\n```\n ``` \n\n");
  dir_.write("HEADER.gmi", "```");
  EXPECT_EQ(page(), "# /files/\n\n```\n```\n\n");
}

TEST_F(DirectoryPage, NoHeaderShowsAPrivateKey) {
  const TempDir elsewhere;
  const std::string key =
      "-----BEGIN PRIVATE KEY-----\n" + std::string(64, 'A') + "\n-----END PRIVATE KEY-----\n";
  elsewhere.write("server.key", key);
  const DirectoryPageRequest wanted{"", "/files/", false, false, kMaxListedEntries};
  const auto shown = [&](SymlinkPolicy symlinks) {
    const auto root = SiteRoot::openAt(dir_.path(), symlinks, std::make_shared<PrivateFiles>());
    return directoryPage(*root, wanted).value();
  };
  dir_.write("HEADER.gmi", key);
  dir_.write("server.key~", key);
  EXPECT_EQ(shown(SymlinkPolicy::kInside), "# /files/\n\n");
  dir_.write("HEADER.gmi", "# Mine\n" + key);
  EXPECT_EQ(shown(SymlinkPolicy::kInside), "# /files/\n\n");
  fs::remove(dir_ / "HEADER.gmi");
  fs::create_symlink("server.key~", dir_ / "HEADER.gmi");
  EXPECT_EQ(shown(SymlinkPolicy::kInside), "# /files/\n\n");
  fs::remove(dir_ / "HEADER.gmi");
  fs::create_symlink(elsewhere / "server.key", dir_ / "HEADER.gmi");
  EXPECT_EQ(shown(SymlinkPolicy::kFollow), "# /files/\n\n");
}

TEST_F(DirectoryPage, ShowsNoNameThatLies) {
  file("page\u202Eimg.gmi");
  EXPECT_EQ(page({"", "/fi\u200Bles/", false, false, kMaxListedEntries}),
            "# /fi\uFFFDles/\n\n=> ./page%E2%80%AEimg.gmi page\uFFFDimg.gmi  5 B  2026-01-02\n");
}

TEST_F(DirectoryPage, LeavesOutAHeaderThatIsTooLongOrNoFile) {
  dir_.write("HEADER.gmi", std::string(kMaxHeaderBytes + 1, 'x'));
  EXPECT_EQ(page(), "# /files/\n\n");
  fs::remove(dir_ / "HEADER.gmi");
  ASSERT_EQ(::mkfifo((dir_ / "HEADER.gmi").c_str(), 0600), 0);
  EXPECT_EQ(page(), "# /files/\n\n");
}

TEST_F(DirectoryPage, LeavesOutWhatWouldNotBeServed) {
  const TempDir outside;
  outside.write("secret", "x");
  fs::create_symlink(outside / "secret", dir_ / "absoluteOut");
  fs::create_symlink(outside.path(), dir_ / "folderOut");
  fs::create_symlink("nowhere", dir_ / "dangling");
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(page(), "# /files/\n\n");
}

TEST_F(DirectoryPage, ListsLinksAsWhatTheyLeadTo) {
  file("sub/real", 10);
  folder("sub");
  fs::create_symlink("sub", dir_ / "folderLink");
  fs::create_symlink(dir_ / "sub/real", dir_ / "fileLink");
  EXPECT_EQ(page(),
            "# /files/\n"
            "\n"
            "=> ./folderLink/ folderLink/  2026-01-02\n"
            "=> ./sub/ sub/  2026-01-02\n"
            "=> ./fileLink fileLink  10 B  2026-01-02\n");
  symlinks_ = SymlinkPolicy::kDeny;
  EXPECT_EQ(page(), "# /files/\n\n=> ./sub/ sub/  2026-01-02\n");
}

TEST_F(DirectoryPage, SaysWhenItListsAHugeFolderInPart) {
  for (const char* name : {"a", "b", "c"}) file(name);
  EXPECT_EQ(lines(page({"", "/", false, false, 3})), 5);
  const std::string part = page({"", "/", false, false, 2});
  EXPECT_TRUE(
      part.ends_with("\n\nOnly the first 2 of 3 entries, in the order of their names, are "
                     "listed.\n"));
  EXPECT_EQ(lines(part), 6);
}

TEST_F(DirectoryPage, ListsTheFirstByNameInWhateverOrderTheDiskHasThem) {
  for (int i = 999; i >= 100; --i) file("f" + std::to_string(i * 7919 % 900 + 100));
  folder("f500-folder");
  const std::string part = page({"", "/", false, false, 3});
  EXPECT_NE(part.find("f100 "), std::string::npos);
  EXPECT_NE(part.find("f101 "), std::string::npos);
  EXPECT_NE(part.find("f102 "), std::string::npos);
  EXPECT_TRUE(
      part.ends_with("Only the first 3 of 901 entries, in the order of their names, are "
                     "listed.\n"))
      << part;
  EXPECT_EQ(lines(part), 7);
}

TEST_F(DirectoryPage, ListsNoneOfAFolderThatIsTooHuge) {
  for (const char* name : {"a", "b", "c"}) file(name);
  dir_.write("HEADER.gmi", "Many.\n");
  EXPECT_EQ(page({"", "/", false, false, 2, 2}),
            "# /\n\nMany.\n\n\nThis folder has more than 2 entries. They are not listed.\n");
}

TEST_F(DirectoryPage, FailsWhereThereIsNoFolder) {
  file("plain");
  EXPECT_TRUE(page("missing").starts_with("error: "));
  EXPECT_TRUE(page("plain").starts_with("error: "));
}

}  // namespace
}  // namespace egalaxyd
