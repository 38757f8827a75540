#include "master/launcher/home_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "common/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class HomeSocketTest : public testing::Test {
 protected:
  HomeSocketTest() {
    const passwd* own = ::getpwuid(::geteuid());
    if (own != nullptr) user_ = own->pw_name;
    fs::create_directories(dir_ / user_);
    place_ = {.number = 0, .address = "unix:" + (dir_ / "%user%/app.sock").string()};
  }
  UniqueFd bindAt(const fs::path& path) const {
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return socket;
  }
  std::string whyNot(const std::string& user) const {
    const auto found = findHomeSocket(place_, user);
    if (found) return "found";
    EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
    return found.error().message;
  }
  fs::path socket() const { return dir_ / user_ / "app.sock"; }

  const TempDir dir_;
  std::string user_ = "root";
  UpstreamPlace place_;
};

TEST_F(HomeSocketTest, IsFoundWhereItIsTheUsers) {
  const UniqueFd bound = bindAt(socket());
  const auto found = findHomeSocket(place_, user_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->name, socket());
  EXPECT_EQ(found->listener, ::geteuid());
  EXPECT_EQ(found->addresses.size(), 1U);
}

TEST_F(HomeSocketTest, OfWhoIsNoUserThereIsNone) {
  EXPECT_THAT(whyNot("nosuchuser"), HasSubstr("no such user"));
  place_.minUid = ::geteuid() + 1;
  EXPECT_THAT(whyNot(user_), HasSubstr("min_uid"));
}

TEST_F(HomeSocketTest, NothingElseIsTakenForOne) {
  EXPECT_THAT(whyNot(user_), HasSubstr("No such file"));
  const UniqueFd bound = bindAt(dir_ / "other.sock");
  fs::create_symlink(dir_ / "other.sock", socket());
  EXPECT_THAT(whyNot(user_), HasSubstr("no socket"));
  fs::remove(socket());
  dir_.write(user_ + "/app.sock", "");
  EXPECT_THAT(whyNot(user_), HasSubstr("no socket"));
}

TEST_F(HomeSocketTest, ASocketOfAnotherAccountIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  const UniqueFd bound = bindAt(socket());
  ASSERT_EQ(::lchown(socket().c_str(), 1, 1), 0);
  EXPECT_THAT(whyNot(user_), HasSubstr("refused: it is not its user's"));
}

}  // namespace
}  // namespace egalaxyd
