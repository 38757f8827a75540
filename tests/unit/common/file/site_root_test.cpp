#include "common/file/site_root.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

SiteRoot rootAt(const fs::path& path, SymlinkPolicy symlinks = SymlinkPolicy::kInside) {
  auto root = SiteRoot::openAt(path, symlinks);
  if (!root) throw std::runtime_error(root.error().message);
  return std::move(root).value();
}

/// As a site asks: first without waiting, then in the pool.
Result<OpenFile> openAsSitesDo(const SiteRoot& root, std::string_view name) {
  auto opened = root.open(name, Waiting::kNever);
  if (opened.ok() || opened.error().code != ErrorCode::kBusy) return opened;
  return root.open(name, Waiting::kAllowed);
}

std::string contentOf(const Result<OpenFile>& file) {
  if (!file) return "error: " + file.error().message;
  if (file->isFolder()) return "a folder";
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  const ssize_t got = ::pread(file->fd.get(), text.data(), text.size(), 0);
  return got == static_cast<ssize_t>(text.size()) ? text : "a short read";
}

ErrorCode errorOf(const Result<OpenFile>& file) {
  EXPECT_FALSE(file.ok());
  return file.ok() ? ErrorCode::kExists : file.error().code;
}

TEST(SiteRoot, OpensFilesAndFoldersBelowItself) {
  const TempDir dir;
  dir.write("a/b/page.gmi", "# Hello\n");
  dir.write("empty", "");
  const SiteRoot root = rootAt(dir.path());
  EXPECT_EQ(contentOf(openAsSitesDo(root, "a/b/page.gmi")), "# Hello\n");
  EXPECT_EQ(contentOf(openAsSitesDo(root, "empty")), "");
  EXPECT_EQ(contentOf(openAsSitesDo(root, "a/b")), "a folder");
  EXPECT_EQ(contentOf(openAsSitesDo(root, "")), "a folder");
}

TEST(SiteRoot, OpensWhatIsInMemoryWithoutWaiting) {
  const TempDir dir;
  dir.write("page.gmi", "text");
  const SiteRoot root = rootAt(dir.path());
  EXPECT_EQ(contentOf(root.open("page.gmi", Waiting::kNever)), "text");
}

TEST(SiteRoot, CallsWhatCannotBeReachedNotFound) {
  const TempDir dir;
  dir.write("file", "x");
  fs::create_symlink("loop", dir / "loop");
  const SiteRoot root = rootAt(dir.path());
  const std::string tooLong(300, 'x');
  using namespace std::string_literals;
  for (const std::string& name :
       {"missing"s, "missing/too"s, "file/below"s, "file/"s, tooLong, "loop"s, "file\0hidden"s}) {
    EXPECT_EQ(errorOf(openAsSitesDo(root, name)), ErrorCode::kNotFound) << name;
  }
}

TEST(SiteRoot, NeitherWaitsForAFifoNorKeepsIt) {
  const TempDir dir;
  const fs::path fifo = dir / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  fs::create_symlink("fifo", dir / "link");
  for (const auto policy : {SymlinkPolicy::kDeny, SymlinkPolicy::kInside, SymlinkPolicy::kFollow}) {
    const SiteRoot root = rootAt(dir.path(), policy);
    EXPECT_EQ(errorOf(openAsSitesDo(root, "fifo")), ErrorCode::kNotFound);
    EXPECT_EQ(errorOf(openAsSitesDo(root, "link")), ErrorCode::kNotFound);
  }
  EXPECT_EQ(errorOf(openFile(fifo, Waiting::kAllowed)), ErrorCode::kNotFound);
  const UniqueFd writer(::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_EQ(errno, ENXIO) << "somebody reads";
}

TEST(SiteRoot, CallsADeviceNotFound) {
  const TempDir dir;
  fs::create_symlink("/dev/null", dir / "null");
  const SiteRoot root = rootAt(dir.path(), SymlinkPolicy::kFollow);
  EXPECT_EQ(errorOf(openAsSitesDo(root, "null")), ErrorCode::kNotFound);
  EXPECT_EQ(errorOf(openFile("/dev/null", Waiting::kAllowed)), ErrorCode::kNotFound);
}

TEST(SiteRoot, CallsASocketNotFound) {
  const TempDir dir;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (dir / "sock").string();
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(errorOf(openAsSitesDo(rootAt(dir.path()), "sock")), ErrorCode::kNotFound);
}

/// root/ with links of every kind, and outside/ beside it.
class SiteRootLinks : public testing::Test {
 protected:
  SiteRootLinks() {
    dir_.write("root/sub/real.gmi", "inside");
    dir_.write("outside/secret.gmi", "outside");
    dir_.write("root-beside/near.gmi", "outside");
    link("sub/real.gmi", "relative");
    link("../sub/real.gmi", "sub/upAndDown");
    link((dir_ / "root/sub/real.gmi").string(), "absolute");
    link((dir_ / "root/sub").string(), "absoluteFolder");
    link(dir_ / "root", "rootItself");
    link("absolute", "chain");
    link("../root/sub/real.gmi", "outAndBack");
    link("../outside/secret.gmi", "relativeOut");
    link((dir_ / "outside/secret.gmi").string(), "absoluteOut");
    link((dir_ / "outside").string(), "folderOut");
    link((dir_ / "root-beside/near.gmi").string(), "sameBeginning");
    link("nowhere", "dangling");
  }

  void link(const fs::path& to, std::string_view name) {
    fs::create_symlink(to, dir_ / "root" / name);
  }
  std::string ask(SymlinkPolicy policy, std::string_view name) const {
    const auto opened = openAsSitesDo(rootAt(dir_ / "root", policy), name);
    if (opened) return contentOf(opened);
    const ErrorCode code = opened.error().code;
    return code == ErrorCode::kNotFound || code == ErrorCode::kPermission ? "51" : "error";
  }

  const TempDir dir_;
};

TEST_F(SiteRootLinks, AreFollowedAsThePolicySays) {
  struct Case {
    std::string_view name, deny, inside, follow;
  };
  constexpr std::array<Case, 13> kCases{{
      {"sub/real.gmi", "inside", "inside", "inside"},
      {"relative", "51", "inside", "inside"},
      {"sub/upAndDown", "51", "inside", "inside"},
      {"absolute", "51", "inside", "inside"},
      {"absoluteFolder/real.gmi", "51", "inside", "inside"},
      {"rootItself", "51", "a folder", "a folder"},
      {"chain", "51", "inside", "inside"},
      {"outAndBack", "51", "inside", "inside"},
      {"relativeOut", "51", "51", "outside"},
      {"absoluteOut", "51", "51", "outside"},
      {"folderOut/secret.gmi", "51", "51", "outside"},
      {"sameBeginning", "51", "51", "outside"},
      {"dangling", "51", "51", "51"},
  }};
  for (const Case& each : kCases) {
    EXPECT_EQ(ask(SymlinkPolicy::kDeny, each.name), each.deny) << each.name;
    EXPECT_EQ(ask(SymlinkPolicy::kInside, each.name), each.inside) << each.name;
    EXPECT_EQ(ask(SymlinkPolicy::kFollow, each.name), each.follow) << each.name;
  }
}

TEST_F(SiteRootLinks, WithinTheRootAreServedAlsoWhenTheRootWasReachedThroughALink) {
  fs::create_symlink("root", dir_ / "current");
  fs::create_symlink(dir_ / "current/sub/real.gmi", dir_ / "root/viaCurrent");
  const SiteRoot root = rootAt(dir_ / "current");
  EXPECT_EQ(contentOf(openAsSitesDo(root, "absolute")), "inside");
  EXPECT_EQ(contentOf(openAsSitesDo(root, "viaCurrent")), "inside");
}

TEST_F(SiteRootLinks, ToAnAbsolutePlaceAreLeftToThePool) {
  const SiteRoot root = rootAt(dir_ / "root");
  EXPECT_EQ(errorOf(root.open("absolute", Waiting::kNever)), ErrorCode::kBusy);
}

TEST(SiteRoot, DeniesWhatTheAccountMayNotRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TempDir dir;
  fs::permissions(dir.write("private", "x"), fs::perms::none);
  EXPECT_EQ(errorOf(openAsSitesDo(rootAt(dir.path()), "private")), ErrorCode::kPermission);
}

TEST(SiteRoot, IsRefusedWhereThereIsNoFolder) {
  const TempDir dir;
  const fs::path file = dir.write("file", "x");
  EXPECT_FALSE(SiteRoot::openAt(dir / "missing", SymlinkPolicy::kInside).ok());
  const auto notAFolder = SiteRoot::openAt(file, SymlinkPolicy::kInside);
  ASSERT_FALSE(notAFolder.ok());
  EXPECT_NE(notAFolder.error().message.find(file.string()), std::string::npos);
}

TEST(SiteRoot, SaysThatNoDescriptorIsLeft) {
  const TempDir dir;
  dir.write("page", "x");
  const SiteRoot root = rootAt(dir.path());
  std::vector<UniqueFd> all;
  for (;;) {
    UniqueFd next(::dup(STDERR_FILENO));
    if (!next) break;
    all.push_back(std::move(next));
    if (all.size() > 100'000) GTEST_SKIP() << "descriptors are not limited here";
  }
  EXPECT_EQ(errorOf(root.open("page", Waiting::kAllowed)), ErrorCode::kNoSpace);
}

}  // namespace
}  // namespace egalaxyd
