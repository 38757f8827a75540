#include "common/system/script_account.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "common/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

constexpr uid_t kSomebody = 12345;  // has no entry

bool hasScriptAccount() { return ::getpwnam(kScriptAccount) != nullptr; }

uid_t uidOf(const char* name) {
  const passwd* entry = ::getpwnam(name);
  return entry == nullptr ? 0 : entry->pw_uid;
}

/// What systemd holds for one account, as long as it lives.
class OfferedLauncher {
 public:
  OfferedLauncher(const std::filesystem::path& folder, const std::string& account)
      : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = launcherSocket(folder, account).string();
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

 private:
  UniqueFd fd_;
};

ServerConfig serverIn(const std::filesystem::path& folder) {
  ServerConfig server;
  server.runtimeDir = folder;
  return server;
}

TEST(ScriptAccount, IsForkedByAMasterThatIsRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has workers of another account";
  ServerConfig server;
  server.user = "nobody";
  const auto found = scriptAccount("daemon", server);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->way, LauncherWay::kForked);
  EXPECT_EQ(found->account.user, "daemon");
  EXPECT_EQ(found->account.uid, uidOf("daemon"));
  EXPECT_FALSE(found->isWorkers);
  EXPECT_TRUE(scriptAccount("nobody", server)->isWorkers);
}

TEST(ScriptAccount, IsTheWorkersOwnWhereNobodyNamesOne) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has workers of another account";
  if (hasScriptAccount()) GTEST_SKIP() << "this machine has the account of scripts";
  ServerConfig server;
  server.user = "daemon";
  const auto found = scriptAccount("", server);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->account.user, "daemon");
  EXPECT_EQ(found->way, LauncherWay::kForked);
  EXPECT_TRUE(found->isWorkers);
}

TEST(ScriptAccount, IsNobodyWhereWorkersAreRoot) {
  if (hasScriptAccount()) GTEST_SKIP() << "this machine has the account of scripts";
  ServerConfig server;
  server.user = "root";
  const auto found = scriptAccount("", server, 0);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->account.uid, uidOf("nobody"));
  EXPECT_EQ(found->way, LauncherWay::kForked);
  EXPECT_FALSE(found->isWorkers);
}

TEST(ScriptAccount, IsTheMastersOwnWhereItIsNotRoot) {
  const TempDir folder;
  const auto unnamed = scriptAccount("", serverIn(folder.path()), kSomebody);
  ASSERT_TRUE(unnamed) << unnamed.error().message;
  EXPECT_EQ(unnamed->way, LauncherWay::kOwn);
  EXPECT_EQ(unnamed->account.uid, kSomebody);
  EXPECT_EQ(unnamed->account.user, std::to_string(kSomebody));
  EXPECT_TRUE(unnamed->isWorkers);
  const auto named = scriptAccount("daemon", serverIn(folder.path()), uidOf("daemon"));
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(named->way, LauncherWay::kOwn);
  EXPECT_TRUE(named->isWorkers);
}

TEST(ScriptAccount, ComesFromSystemdWhereThatOffersOne) {
  const TempDir folder;
  const OfferedLauncher offered(folder.path(), "daemon");
  const auto found = scriptAccount("daemon", serverIn(folder.path()), kSomebody);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->way, LauncherWay::kSystemd);
  EXPECT_EQ(found->account.user, "daemon");
  EXPECT_EQ(found->socket, folder.path() / "launcher-daemon.sock");
  EXPECT_FALSE(found->isWorkers);
}

TEST(ScriptAccount, ThatNobodyOffersSaysHowToHaveIt) {
  const TempDir folder;
  std::ofstream(folder.path() / "launcher-daemon.sock") << "no socket";
  const auto found = scriptAccount("daemon", serverIn(folder.path()), kSomebody);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(found.error().message,
            "the account \"daemon\" cannot be had: this server is not root, and systemd offers it "
            "no " +
                (folder.path() / "launcher-daemon.sock").string() +
                "; systemctl enable --now egalaxyd-launcher@daemon.socket");
}

TEST(ScriptAccount, IsNeverRootAndExists) {
  for (const uid_t master : {uid_t{0}, kSomebody}) {
    ServerConfig server;
    server.user = "root";
    const auto root = scriptAccount("root", server, master);
    ASSERT_FALSE(root);
    EXPECT_EQ(root.error().code, ErrorCode::kPermission);
    EXPECT_EQ(root.error().message, "\"root\" is root, which scripts never are");
    const auto missing = scriptAccount("no-such-account", server, master);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().message, "there is no account \"no-such-account\" on this machine");
  }
}

}  // namespace
}  // namespace egalaxyd
