#include "common/system/privilege.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <string>

namespace egalaxyd {
namespace {

/// No descriptor can be opened as long as it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST(WorkerAccount, LeavesNoWorkerRootBecauseNobodyCouldBeLookedUp) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes another account";
  const auto staysRoot = [](const auto& account) { return account && !account->has_value(); };
  const NoDescriptors exhausted;
  // systemd's part of the name service knows nobody without any file.
  EXPECT_FALSE(staysRoot(workerAccount("", "")));
  EXPECT_FALSE(staysRoot(workerAccount("nobody", "nogroup")));
}

TEST(WorkerAccount, IsRootOnlyWhereThatIsSaid) {
  const auto account = workerAccount("root", "");
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_FALSE(account->has_value());
  if (::geteuid() != 0) GTEST_SKIP() << "only root has workers of another account";
  const auto unsaid = workerAccount("", "");
  ASSERT_TRUE(unsaid) << unsaid.error().message;
  ASSERT_TRUE(unsaid->has_value());
  EXPECT_NE((*unsaid)->uid, 0U);
}

TEST(WorkerAccount, ThatIsNobodyGivesNoRightToItsGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has workers of another account";
  if (::getpwnam("egalaxyd") != nullptr) GTEST_SKIP() << "this machine has the account egalaxyd";
  const auto fallback = workerAccount("", "");
  ASSERT_TRUE(fallback && fallback->has_value());
  EXPECT_TRUE((*fallback)->isFallback);
  EXPECT_EQ(controlOwner(*fallback)->gid, ::getegid());
  const auto withGroup = workerAccount("", "daemon");
  ASSERT_TRUE(withGroup && withGroup->has_value());
  EXPECT_EQ(controlOwner(*withGroup)->gid, ::getgrnam("daemon")->gr_gid);
  const auto named = workerAccount("nobody", "");
  ASSERT_TRUE(named && named->has_value());
  EXPECT_FALSE((*named)->isFallback);
  EXPECT_EQ(controlOwner(*named)->gid, (*named)->gid);
}

/// Its lines of /proc/self/status, in a process of its own after `change`.
std::map<std::string, std::string> statusAfter(const std::function<Result<void>()>& change) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    std::ifstream status(change() ? "/proc/self/status" : "/dev/null");
    const std::string text{std::istreambuf_iterator<char>(status), {}};
    ::_exit(::write(ends[1], text.data(), text.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  ::waitpid(child, nullptr, 0);
  std::string text(16384, '\0');
  text.resize(
      static_cast<std::size_t>(std::max<ssize_t>(::read(ends[0], text.data(), text.size()), 0)));
  ::close(ends[0]);
  std::map<std::string, std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(":\t");
    if (colon != std::string::npos) lines[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return lines;
}

constexpr const char* kNone = "0000000000000000";

TEST(Privileges, OfAWorkerAreNoneWhateverItsAccount) {
  for (const bool stays : {true, false}) {
    std::optional<Account> account;
    if (!stays && ::geteuid() == 0) account = Account{"nobody", 65534, 65534};
    auto status = statusAfter([&] { return dropPrivileges(account); });
    EXPECT_EQ(status["NoNewPrivs"], "1");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) EXPECT_EQ(status[set], kNone);
    if (::geteuid() != 0) continue;
    EXPECT_EQ(status["CapBnd"], kNone);
    EXPECT_EQ(status["Uid"], stays ? "0\t0\t0\t0" : "65534\t65534\t65534\t65534");
  }
}

TEST(Privileges, OfARootMasterAreThoseThatItUses) {
  auto status = statusAfter([] { return keepMasterCapabilities(); });
  if (::geteuid() != 0) {
    EXPECT_EQ(status["CapPrm"], kNone);
    return;
  }
  // chown, dac_override, kill, setgid, setuid, setpcap, net_bind_service, maybe net_admin
  constexpr std::uint64_t kMost = 0x15e3;
  for (const char* set : {"CapPrm", "CapEff", "CapBnd"}) {
    EXPECT_EQ(std::stoull(status[set], nullptr, 16) & ~kMost, 0U) << status[set];
  }
  EXPECT_EQ(status["CapInh"], kNone);
}

}  // namespace
}  // namespace egalaxyd
