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

  /// "a b/": where its links lead that are within the folder.
  static std::string linksOf(const std::string& text) {
    std::string all;
    constexpr std::string_view kLink = "\n=> ./";
    for (std::size_t at = 0; (at = text.find(kLink, at)) != std::string::npos;) {
      at += kLink.size();
      const std::string link = text.substr(at, text.find(' ', at) - at);
      if (!link.empty()) all += (all.empty() ? "" : " ") + link;
    }
    return all;
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

TEST_F(DirectoryPage, SortsByNameTimeOrSizeWithFoldersFirstAndEqualsByName) {
  file("b", 10);
  file("a", 10);
  file("c", 30);
  folder("f");
  folder("e");
  const timespec late{1'800'000'000, 0};
  const timespec both[] = {late, late};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir_ / "b").c_str(), both, 0), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir_ / "f").c_str(), both, 0), 0);
  const auto order = [&](ListingSort sort, bool reverse) {
    DirectoryPageRequest request{"", "/", false, false};
    request.listing.sort = sort;
    request.listing.reverse = reverse;
    return linksOf(page(request));
  };
  EXPECT_EQ(order(ListingSort::kName, false), "e/ f/ a b c");
  EXPECT_EQ(order(ListingSort::kName, true), "f/ e/ c b a");
  EXPECT_EQ(order(ListingSort::kTime, false), "f/ e/ b a c");
  EXPECT_EQ(order(ListingSort::kTime, true), "e/ f/ a c b");
  EXPECT_EQ(order(ListingSort::kSize, false), "e/ f/ c a b");
  EXPECT_EQ(order(ListingSort::kSize, true), "e/ f/ a b c");
}

TEST_F(DirectoryPage, PlacesALinkAsWhatItLeadsTo) {
  file("z", 99);
  file("a", 5);
  fs::create_symlink("z", dir_ / "link");
  folder("folder");
  fs::create_symlink("folder", dir_ / "y");
  DirectoryPageRequest request{"", "/", false, false};
  request.listing.sort = ListingSort::kSize;
  EXPECT_EQ(linksOf(page(request)), "folder/ y/ link z a");
}

TEST_F(DirectoryPage, ShowsTheHeadingOfGemtextInPlaceOfItsName) {
  dir_.write("a.gmi", "Text\n```\n# no heading\n```\n##  A title \r\n# Another\n");
  dir_.write("b.gemini", "\xEF\xBB\xBF# Without an end");
  dir_.write("c.gmi", "# \xff\n");
  dir_.write("d.gmi", "#\nnone\n");
  dir_.write("e.txt", "# Markdown\n");
  dir_.write("f.gmi", std::string(5000, 'x') + "\n# Too late\n");
  dir_.write("g.gmi", "# A\tb\xE2\x80\xAE c\n");
  dir_.write("h.gmi", "# " + std::string(400, 'h') + "\n");
  DirectoryPageRequest request{"", "/", false, false};
  const auto label = [&](const std::string& name) {
    const std::string text = page(request);
    const std::size_t begin = text.find(" ./" + name + " ") + name.size() + 4;
    return text.substr(begin, text.find("  ", begin) - begin);
  };
  EXPECT_EQ(label("a.gmi"), "a.gmi");
  request.listing.titles = true;
  EXPECT_EQ(label("a.gmi"), "A title");
  EXPECT_EQ(label("b.gemini"), "Without an end");
  for (const char* name : {"c.gmi", "d.gmi", "e.txt", "f.gmi", "g.gmi", "h.gmi"}) {
    EXPECT_EQ(label(name).substr(0, 2), std::string(name).substr(0, 2)) << name;
  }
}

TEST_F(DirectoryPage, HasPagesThatLinkToEachOther) {
  for (int i = 10; i < 35; ++i) file(std::to_string(i));
  folder("z");
  DirectoryPageRequest request{"", "/", false, true};
  request.listing.page = 10;
  const std::string first = page(request);
  EXPECT_EQ(linksOf(first), "z/ 10 11 12 13 14 15 16 17 18 ;page=2");
  EXPECT_TRUE(first.ends_with("\n\nPage 1 of 3\n=> ./;page=2 Next page\n")) << first;
  request.page = 2;
  EXPECT_EQ(linksOf(page(request)), "19 20 21 22 23 24 25 26 27 28 ;page=3");
  EXPECT_TRUE(page(request).ends_with("=> ./;page=3 Next page\n=> ./ Previous page\n"));
  request.page = 3;
  EXPECT_EQ(linksOf(page(request)), "29 30 31 32 33 34 ;page=2");
  EXPECT_TRUE(page(request).ends_with("=> ./;page=2 Previous page\n=> ./ First page\n"));
  for (const std::size_t none : {0U, 4U, 100'000U}) {
    request.page = none;
    EXPECT_EQ(page(request), "error: no such page");
  }
  request.page = 1;
  request.listing.page = 26;
  EXPECT_EQ(page(request).find("Page "), std::string::npos);
}

TEST_F(DirectoryPage, NamesItsPagesSoThatNoQueryIsNeeded) {
  EXPECT_EQ(pageNamed(pageName(7)), 7U);
  for (const char* name : {"page=2", ";page=", ";page=0", ";page=x", ";page=-1", ";page=2x",
                           ";page=99999999999999999999"}) {
    EXPECT_FALSE(pageNamed(name)) << name;
  }
}

TEST_F(DirectoryPage, FailsWhereThereIsNoFolder) {
  file("plain");
  EXPECT_TRUE(page("missing").starts_with("error: "));
  EXPECT_TRUE(page("plain").starts_with("error: "));
}

}  // namespace
}  // namespace egalaxyd
