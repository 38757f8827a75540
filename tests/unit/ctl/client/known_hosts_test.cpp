#include "ctl/client/known_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "common/base/units.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd::ctl {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const KnownHosts::Name kHost("example.org", 1965);
const HostKey kOld{std::string(64, 'a'), "2027-01-01T00:00:00Z"};
const HostKey kNew{std::string(64, 'b'), "4096-01-01T00:00:00Z"};
const std::string kLine =
    "example.org 1965 SHA256:" + kOld.sha256 + " 2027-01-01T00:00:00Z 2026-01-31T08:00:00Z\n";

class KnownHostsTest : public testing::Test {
 protected:
  KnownHosts read() {
    auto hosts = KnownHosts::read(file());
    EXPECT_TRUE(hosts.ok()) << (hosts ? "" : hosts.error().message);
    return hosts ? std::move(*hosts) : KnownHosts();
  }
  fs::path file() const { return folder / "state/egalaxyctl/known_hosts"; }
  void write(const std::string& text) { folder.write("state/egalaxyctl/known_hosts", text); }
  std::string text() const { return folder.read("state/egalaxyctl/known_hosts"); }

  TempDir folder;
};

TEST_F(KnownHostsTest, TrustsOnFirstUseAndRemembers) {
  KnownHosts hosts = read();
  EXPECT_TRUE(hosts.judge(kHost, kOld).ok());
  ASSERT_TRUE(hosts.remember(kHost, kOld, false).ok());
  const KnownHosts later = read();
  ASSERT_NE(later.find(kHost), nullptr);
  EXPECT_EQ(later.find(kHost)->key.sha256, kOld.sha256);
  EXPECT_TRUE(parseTime(later.find(kHost)->since).has_value());
  EXPECT_TRUE(later.judge(kHost, kOld).ok());
  struct stat info {};
  ASSERT_EQ(::stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(file().parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(KnownHostsTest, RefusesAnotherKeyAndTellsBoth) {
  write(kLine);
  KnownHosts hosts = read();
  const auto judged = hosts.judge(kHost, kNew);
  ASSERT_FALSE(judged.ok());
  EXPECT_EQ(judged.error().code, ErrorCode::kPermission);
  for (const std::string& part :
       {kOld.sha256, kNew.sha256, std::string("since 2026-01-31T08:00:00Z"), kOld.until, kNew.until,
        std::string("example.org port 1965"), std::string("--trust")}) {
    EXPECT_THAT(judged.error().message, HasSubstr(part));
  }
  EXPECT_TRUE(hosts.judge({"example.org", 1966}, kNew).ok()) << "another port is another host";
  EXPECT_TRUE(hosts.judge({"www.example.org", 1965}, kNew).ok());
}

TEST_F(KnownHostsTest, ReplacesAKeyWhenToldTo) {
  write(kLine);
  KnownHosts hosts = read();
  ASSERT_TRUE(hosts.remember(kHost, kNew, true).ok());
  EXPECT_TRUE(read().judge(kHost, kNew).ok());
  EXPECT_FALSE(read().judge(kHost, kOld).ok());
}

TEST_F(KnownHostsTest, TakesARenewedCertificateOfTheKnownKey) {
  write(kLine);
  KnownHosts hosts = read();
  const HostKey renewed{kOld.sha256, "2030-01-01T00:00:00Z"};
  ASSERT_TRUE(hosts.judge(kHost, renewed).ok());
  ASSERT_TRUE(hosts.remember(kHost, renewed, false).ok());
  EXPECT_EQ(read().find(kHost)->key.until, renewed.until);
  EXPECT_EQ(read().find(kHost)->since, "2026-01-31T08:00:00Z");
}

TEST_F(KnownHostsTest, LeavesOtherLinesAsTheyAre) {
  write("# my own words\n\nother.test 1965 SHA256:" + kNew.sha256 +
        " unreadable 2026-01-31T08:00:00Z\n" + kLine);
  KnownHosts hosts = read();
  ASSERT_TRUE(hosts.remember(kHost, kNew, true).ok());
  ASSERT_TRUE(hosts.remember({"::1", 1}, kOld, false).ok());
  EXPECT_THAT(text(), testing::StartsWith("# my own words\n\nother.test 1965 SHA256:"));
  EXPECT_THAT(text(), testing::Not(HasSubstr("example.org 1965 SHA256:" + kOld.sha256)));
  EXPECT_THAT(text(), HasSubstr("::1 1 SHA256:" + kOld.sha256));
  EXPECT_NE(read().find({"other.test", 1965}), nullptr);
}

TEST_F(KnownHostsTest, SaysThatTheFileIsDamagedAndLeavesIt) {
  const std::string cut = kLine.substr(0, kLine.size() - 5);
  for (const std::string& bad :
       {std::string("nonsense\n"), cut, kLine + kLine, "Example.org" + kLine.substr(11),
        kLine + std::string("\0\0\0", 3), std::string("example.org 0") + kLine.substr(16),
        std::string("example.org 1965 SHA256:abc x 2026-01-31T08:00:00Z\n")}) {
    write("# head\n" + bad);
    const auto hosts = KnownHosts::read(file());
    ASSERT_FALSE(hosts.ok()) << bad;
    EXPECT_EQ(hosts.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(hosts.error().message, HasSubstr(file().string() + ": line "));
    EXPECT_EQ(text(), "# head\n" + bad);
  }
}

TEST_F(KnownHostsTest, DoesNotReplaceAFileThatWasDamagedMeanwhile) {
  KnownHosts hosts = read();
  write("nonsense\n");
  const auto remembered = hosts.remember(kHost, kOld, false);
  ASSERT_FALSE(remembered.ok());
  EXPECT_NE(remembered.error().code, ErrorCode::kPermission);
  EXPECT_EQ(text(), "nonsense\n");
  EXPECT_FALSE(hosts.judge(kHost, kNew).ok()) << "this run knows it all the same";
}

TEST_F(KnownHostsTest, RefusesAKeyWhenAnotherProcessHasRememberedAnotherMeanwhile) {
  KnownHosts mine = read();
  KnownHosts theirs = read();
  ASSERT_TRUE(mine.judge(kHost, kOld).ok());
  ASSERT_TRUE(theirs.remember(kHost, kNew, false).ok());
  const auto remembered = mine.remember(kHost, kOld, false);
  ASSERT_FALSE(remembered.ok());
  EXPECT_EQ(remembered.error().code, ErrorCode::kPermission);
  EXPECT_TRUE(read().judge(kHost, kNew).ok());
  EXPECT_FALSE(mine.judge(kHost, kOld).ok());
}

TEST_F(KnownHostsTest, KeepsWhatManyRememberAtOnce) {
  constexpr int kMany = 8;
  std::vector<std::thread> threads;
  for (int i = 0; i < kMany; ++i) {
    threads.emplace_back([this, i] {
      KnownHosts hosts = read();
      for (int port = 1; port <= 5; ++port) {
        EXPECT_TRUE(hosts.remember({"h" + std::to_string(i), port}, kOld, false).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const KnownHosts all = read();
  for (int i = 0; i < kMany; ++i) {
    for (int port = 1; port <= 5; ++port) {
      EXPECT_NE(all.find({"h" + std::to_string(i), port}), nullptr) << i << " " << port;
    }
  }
}

TEST_F(KnownHostsTest, KnowsWithinOneRunWhatItCannotWrite) {
  for (const fs::path& nowhere : {fs::path(), fs::path("/dev/null/known_hosts")}) {
    auto hosts = KnownHosts::read(nowhere);
    ASSERT_TRUE(hosts.ok());
    const auto remembered = hosts->remember(kHost, kOld, false);
    ASSERT_FALSE(remembered.ok());
    EXPECT_NE(remembered.error().code, ErrorCode::kPermission);
    EXPECT_TRUE(hosts->remember(kHost, kOld, false).ok()) << "it is said once";
    EXPECT_FALSE(hosts->judge(kHost, kNew).ok());
  }
}

TEST_F(KnownHostsTest, WritesThroughALink) {
  const fs::path real = folder.write("dotfiles/known", kLine);
  fs::create_directories(file().parent_path());
  fs::create_symlink(real, file());
  KnownHosts hosts = read();
  ASSERT_TRUE(hosts.remember(kHost, kNew, true).ok());
  EXPECT_TRUE(fs::is_symlink(file()));
  EXPECT_THAT(folder.read("dotfiles/known"), HasSubstr(kNew.sha256));
}

TEST_F(KnownHostsTest, AWriterThatWasKilledIsNotInTheWay) {
  write(kLine);
  folder.write("state/egalaxyctl/known_hosts.new", "half a li");
  KnownHosts hosts = read();
  ASSERT_TRUE(hosts.remember({"b.test", 1}, kNew, false).ok());
  EXPECT_EQ(read().find(kHost)->key.sha256, kOld.sha256);
  EXPECT_FALSE(fs::exists(file().string() + ".new"));
}

}  // namespace
}  // namespace egalaxyd::ctl
