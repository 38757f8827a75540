#include "common/system/server_folders.h"

#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

constexpr uid_t kRoot = 0;
constexpr uid_t kSomeone = 1000;

TEST(ServerFolders, BeginWithTheOneThatAServerOfTheAccountChooses) {
  using Folders = std::vector<std::filesystem::path>;
  const PathEnvironment full{
      .runtimeDirectory = "/r:/s", .xdgStateHome = "/x", .xdgRuntimeDir = "/y", .home = "/home/me"};
  EXPECT_EQ(
      runtimeFolders(full, kSomeone, stateFolders(full, kSomeone)),
      (Folders{"/r", "/y/egalaxyd", "/x/egalaxyd/run", "/home/me/.local/state/egalaxyd/run"}));
  EXPECT_EQ(runtimeFolders(full, kRoot, stateFolders(full, kRoot)),
            (Folders{"/r", "/run/egalaxyd"}));
  const PathEnvironment relative{.xdgStateHome = "x", .xdgRuntimeDir = "y", .home = "home"};
  EXPECT_EQ(stateFolders(relative, kSomeone), Folders{});
  EXPECT_EQ(runtimeFolders(relative, kSomeone, {}), Folders{});
}

}  // namespace
}  // namespace egalaxyd
