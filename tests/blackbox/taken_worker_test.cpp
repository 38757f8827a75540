// Code that has taken a worker, as a plug-in that tries all that it should not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "common/base/unique_fd.h"
#include "tests/blackbox/ask_json.h"
#include "tests/support/capsule.h"
#include "tests/support/deadline.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

#ifdef EGALAXYD_SANITIZED
constexpr bool kIsCaged = false;  // such a build takes no seccomp
#else
constexpr bool kIsCaged = true;
#endif

class TakenWorkerTest : public testing::Test {
 protected:
  void SetUp() override {
    service_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::listen(service_.get(), 4), 0);
    sockaddr_in here{};
    socklen_t size = sizeof here;
    ::getsockname(service_.get(), reinterpret_cast<sockaddr*>(&here), &size);
    datagrams_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un place{};
    place.sun_family = AF_UNIX;
    const fs::path socket = capsule.dir() / "datagrams";
    socket.native().copy(place.sun_path, sizeof place.sun_path - 1);
    ASSERT_EQ(::bind(datagrams_.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
    const fs::path uploads = capsule.dir().makeDir("uploads");
    for (const fs::path& path : {socket, uploads}) fs::permissions(path, fs::perms::all);
    capsule.page("index.gmi", "# page\n");
    capsule.set("limits.connections_per_ip", "0");
    capsule.sites(
        "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
        "[sites.\"localhost\".\"/up\"]\nmodule = \"directory\"\nroot = \"uploads\"\n"
        "upload = { anyone = true }\n"
        "[sites.\"localhost\".\"/h\"]\nmodule = \"plugin\"\nlibrary = \"" +
        std::string(EGALAXYD_TEST_PLUGIN_DIR) +
        "/hostile.so\"\nclass = \"Hostile\"\nargs = { service = \"" +
        std::to_string(ntohs(here.sin_port)) + "\", datagrams = \"" + socket.string() +
        "\", own = \"" + (uploads / "own").string() + "\", foreign = \"/etc/passwd\" }\n");
  }

  void expectNothingCameOut() const {
    EXPECT_LT(::accept4(service_.get(), nullptr, nullptr, SOCK_CLOEXEC), 0);
    EXPECT_EQ(errno, EAGAIN);
    char byte = 0;
    EXPECT_LT(::recv(datagrams_.get(), &byte, 1, 0), 0);
  }

  Capsule capsule;
  UniqueFd service_, datagrams_;
};

TEST_F(TakenWorkerTest, GetsNowhereAndHarmsNobody) {
  if (!kIsCaged) GTEST_SKIP() << "this build's workers have no seccomp";
  capsule.start();
  const auto workers = capsule.workerPids();
  EXPECT_EQ(capsule.get("/h/attack").body, "end\n");
  expectNothingCameOut();
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_EQ(capsule.workerPids(), workers);
  EXPECT_EQ(fs::status(capsule.dir() / "uploads/own").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_FALSE(capsule.logContains("was mended"));
}

TEST_F(TakenWorkerTest, CanWriteToItsOwnCountersAlone) {
  if (!kIsCaged) GTEST_SKIP() << "a sanitizer reports the faults";
  capsule.start();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(capsule.get("/h/slots").body, "1\nend\n");
}

TEST_F(TakenWorkerTest, LiesAndTheMasterLives) {
  if (!kIsCaged) GTEST_SKIP() << "a sanitizer reports the faults";
  capsule.set("server.workers", "1");
  capsule.start();
  ASSERT_EQ(capsule.get("/h/lie").body, "lied\nend\n");
  for (const char* command : {"stats", "status", "limits"}) {
    const Finished told = capsule.ctl({command});
    EXPECT_EQ(told.status.code, 0) << command << told.all();
    EXPECT_EQ(capsule.ctl({command, "--json"}).status.code, 0);
  }
  capsule.killWorker(0);
  EXPECT_TRUE(eventually([&] { return capsule.get("/").status == 20; }))
      << "the liar's connections and addresses are counted no more";
}

TEST_F(TakenWorkerTest, CannotReadTheMastersMemoryEvenWithoutASandbox) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may";
  capsule.set("server.sandbox", "\"off\"");
  capsule.start();
  EXPECT_EQ(capsule.get("/h/memory").body, "denied\nend\n");
}

TEST_F(TakenWorkerTest, RuinsAListenerWithoutASandboxAndTheMasterMendsIt) {
  capsule.set("server.sandbox", "\"off\"");
  capsule.start();
  const std::uint16_t port = capsule.port();
  for (int round = 0; round < 2; ++round) {
    const std::size_t mark = capsule.logMark();
    ASSERT_EQ(capsule.get("/h/ruin").body, "ruined\nend\n");
    EXPECT_TRUE(capsule.waitForLog("was mended: it had stopped listening", mark)) << capsule.log();
    EXPECT_EQ(capsule.get("/").status, 20);
  }
  EXPECT_EQ(capsule.port(), port);
  EXPECT_THAT(capsule.ctl({"status"}).out, HasSubstr("\nlistening on 127.0.0.1:"));
  capsule.reload();
  EXPECT_EQ(capsule.get("/").status, 20);
}

}  // namespace
}  // namespace egalaxyd
