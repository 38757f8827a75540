#include "master/control/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <functional>
#include <thread>

#include "tests/support/control_client.h"
#include "tests/support/deadline.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// A server on a thread of its own that echoes commands; "later" is answered by the next command.
class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto opened = server_->open(path_, std::nullopt);
    ASSERT_TRUE(opened) << opened.error().message;
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.post([this] { loop_.stop(); });
    if (thread_.joinable()) thread_.join();
    server_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_));
    EXPECT_EQ(loop_.watchCount(), 0u);
    EXPECT_EQ(loop_.timerCount(), 0u);
  }
  void handle(ControlServer::ClientId client, const ControlRequest& request) {
    if (request.command == "later") {
      later_ = client;
      ++askedLater_;
      return;
    }
    Poco::JSON::Object answer = jsonObject();
    answer.set("ok", true);
    answer.set("command", request.command);
    if (request.command == "large") answer.set("text", std::string(4'000'000, 'x'));
    if (later_ != 0) server_->answer(std::exchange(later_, 0), answer);
    server_->answer(client, answer);
  }
  /// Runs `job` on the server's thread.
  void onLoop(const std::function<void()>& job) {
    std::atomic<bool> done{false};
    loop_.post([&] {
      job();
      done = true;
    });
    ASSERT_TRUE(eventually([&] { return done.load(); }));
  }
  bool inPlace() {
    bool answer = false;
    onLoop([&] { answer = server_->inPlace(); });
    return answer;
  }
  void expectServed() {
    ControlClient other(path_);
    other.send("{\"v\":1,\"command\":\"hello\"}\n");
    EXPECT_EQ(other.line(), R"({"ok":true,"command":"hello"})");
  }

  TempDir dir_;
  std::filesystem::path path_ = dir_ / "control.sock";
  EventLoop loop_;
  std::unique_ptr<ControlServer> server_ = std::make_unique<ControlServer>(
      loop_, [this](auto client, const auto& request, const auto& peer) {
        peer_ = peer;
        handle(client, request);
      });
  ControlPeer peer_;  ///< of the last request
  ControlServer::ClientId later_ = 0;
  std::atomic<std::size_t> askedLater_ = 0;
  std::thread thread_;
};

TEST_F(ControlServerTest, AnswersLineByLineHoweverTheyArrive) {
  ControlClient client(path_);
  client.send("{\"v\":1,\"comm");
  client.send("and\":\"a\"}\n{\"v\":1,\"command\":\"b\"}\n{\"v\":1,\"command\":\"c\"}\n");
  client.finish();
  EXPECT_EQ(client.line(), R"({"ok":true,"command":"a"})");
  EXPECT_EQ(client.line(), R"({"ok":true,"command":"b"})");
  EXPECT_EQ(client.line(), R"({"ok":true,"command":"c"})");
  EXPECT_EQ(client.line(), "");
}

TEST_F(ControlServerTest, AnswersLaterEvenToAClientThatSaysNoMore) {
  ControlClient waiting(path_);
  waiting.send("{\"v\":1,\"command\":\"later\"}\n");
  waiting.finish();
  ControlClient leaving(path_);
  { ControlClient gone(path_); }
  expectServed();
  expectServed();
  EXPECT_EQ(waiting.line(), R"({"ok":true,"command":"hello"})");
  EXPECT_EQ(waiting.line(), "");
}

TEST_F(ControlServerTest, IsForItsGroupAlone) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
}

TEST_F(ControlServerTest, SendsNonsenseAway) {
  for (const std::string nonsense :
       {"\n", "GET / HTTP/1.1\r\n", "{\"v\":1}\n", "\xff\xfe\n", "{\"v\":1,\"command\":[]}\n"}) {
    ControlClient client(path_);
    client.send(nonsense);
    EXPECT_THAT(client.line(), StartsWith(R"({"ok":false,"error":)")) << nonsense;
    EXPECT_EQ(client.line(), "") << nonsense;
  }
  expectServed();
}

TEST_F(ControlServerTest, SendsALineWithoutEndAway) {
  ControlClient client(path_);
  client.send(std::string(1'000'000, 'a'));
  EXPECT_THAT(client.line(), testing::AnyOf(HasSubstr("too long"), ""));
  expectServed();
}

TEST_F(ControlServerTest, KeepsTheOthersServedWhileOneDoesNotRead) {
  ControlClient lazy(path_);
  for (int i = 0; i < 20; ++i) lazy.send("{\"v\":1,\"command\":\"large\"}\n");
  expectServed();
  expectServed();
}

TEST_F(ControlServerTest, LetsWhoeverStoodStillLongestYieldToNewClients) {
  ControlClient first(path_);
  std::vector<std::unique_ptr<ControlClient>> crowd;
  for (int i = 0; i < 200; ++i) {
    crowd.push_back(std::make_unique<ControlClient>(path_));
    ASSERT_TRUE(crowd.back()->connected()) << i;
  }
  expectServed();
  EXPECT_THAT(first.line(), HasSubstr("too many control clients"));
  EXPECT_EQ(first.line(), "");
  crowd.back()->send("{\"v\":1,\"command\":\"hello\"}\n");
  EXPECT_EQ(crowd.back()->line(), R"({"ok":true,"command":"hello"})");
}

TEST_F(ControlServerTest, TurnsNewClientsAwayWhenAllAreOwedAnAnswer) {
  std::vector<std::unique_ptr<ControlClient>> crowd;
  for (std::size_t i = 0; i < ControlServer::kMostClients; ++i) {
    crowd.push_back(std::make_unique<ControlClient>(path_));
    crowd.back()->send("{\"v\":1,\"command\":\"later\"}\n");
  }
  ASSERT_TRUE(eventually([&] { return askedLater_ == ControlServer::kMostClients; }));
  ControlClient late(path_);
  EXPECT_THAT(late.line(), HasSubstr("too many control clients"));
  EXPECT_EQ(late.line(), "");
}

TEST_F(ControlServerTest, KeepsNoPlaceForThoseWhoGoBeforeTheirAnswer) {
  for (std::size_t i = 0; i < ControlServer::kMostClients; ++i) {
    ControlClient client(path_);
    client.send("{\"v\":1,\"command\":\"later\"}\n");
    if (i % 2 == 0) {  // else it has gone before it is read
      ASSERT_TRUE(eventually([&] { return askedLater_ > i; }));
    }
  }
  ASSERT_TRUE(eventually([&] { return askedLater_ == ControlServer::kMostClients; }));
  bool here = true;
  onLoop([&] { here = server_->has(later_); });
  EXPECT_FALSE(here);
  expectServed();
}

TEST_F(ControlServerTest, TakesNoSocketFromAServerThatAnswers) {
  EventLoop loop;
  ControlServer second(loop, [](auto, const auto&, const auto&) {});
  const auto opened = second.open(path_, std::nullopt);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kExists);
  EXPECT_THAT(opened.error().message, HasSubstr("server.runtime_dir"));
  expectServed();
}

TEST_F(ControlServerTest, IsMadeAgainWhenSomebodyRemovedIt) {
  ControlClient before(path_);
  EXPECT_TRUE(inPlace());
  std::filesystem::remove(path_);
  EXPECT_FALSE(inPlace());
  onLoop([&] { EXPECT_TRUE(server_->open(path_, std::nullopt)); });
  EXPECT_TRUE(inPlace());
  expectServed();
  before.send("{\"v\":1,\"command\":\"hello\"}\n");
  EXPECT_EQ(before.line(), R"({"ok":true,"command":"hello"})");
  onLoop([&] { EXPECT_TRUE(server_->open(path_, std::nullopt)) << "in place already"; });
  expectServed();
}

TEST_F(ControlServerTest, LeavesTheSocketOfAnotherServerThatTookItsPlace) {
  std::filesystem::remove(path_);
  {
    EventLoop loop;
    ControlServer other(loop, [](auto, const auto&, const auto&) {});
    ASSERT_TRUE(other.open(path_, std::nullopt));
    EXPECT_FALSE(inPlace());
    onLoop([&] { EXPECT_FALSE(server_->open(path_, std::nullopt)); });
    onLoop([&] { server_.reset(); });
    EXPECT_TRUE(std::filesystem::exists(path_));
  }
}

TEST_F(ControlServerTest, KnowsEveryGroupOfItsPeer) {
  std::vector<gid_t> own(256);
  own.resize(static_cast<std::size_t>(::getgroups(static_cast<int>(own.size()), own.data())));
  own.push_back(::getegid());
  expectServed();
  EXPECT_EQ(peer_.pid, ::getpid());
  EXPECT_EQ(peer_.uid, ::geteuid());
  EXPECT_THAT(peer_.groups, testing::IsSupersetOf(own));
}

TEST_F(ControlServerTest, WaitsIdlyForADescriptor) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto next = static_cast<rlim_t>(UniqueFd(::dup(STDERR_FILENO)).get());
  const rlimit oneMore{next + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &oneMore), 0);
  ControlClient client(path_);  // takes the last one
  client.send("{\"v\":1,\"command\":\"hello\"}\n");
  const std::clock_t busyBefore = std::clock();
  EXPECT_EQ(client.line(Deadline(std::chrono::milliseconds(300))), "(nothing)");
  const std::clock_t busy = std::clock() - busyBefore;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_LT(busy, CLOCKS_PER_SEC / 10) << "of 300 ms";
  EXPECT_EQ(client.line(), R"({"ok":true,"command":"hello"})");
}

TEST(ControlServerSocket, ReplacesWhatADeadServerLeft) {
  const TempDir dir;
  const auto path = dir / "control.sock";
  {
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  EventLoop loop;
  ControlServer server(loop, [](auto, const auto&, const auto&) {});
  const auto opened = server.open(path, std::nullopt);
  EXPECT_TRUE(opened) << opened.error().message;
}

TEST(ControlServerSocket, SaysThatAPathIsTooLong) {
  EventLoop loop;
  ControlServer server(loop, [](auto, const auto&, const auto&) {});
  const auto opened = server.open("/tmp/" + std::string(200, 'x'), std::nullopt);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("too long"));
}

}  // namespace
}  // namespace egalaxyd
