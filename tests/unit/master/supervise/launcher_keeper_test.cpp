#include "master/supervise/launcher_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

#include "tests/support/deadline.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct Packet {
  std::string bytes;
  std::vector<UniqueFd> files;
};

/// Waits for the next packet; nullopt: the peer has gone.
std::optional<Packet> nextPacket(int channel) {
  pollfd ready{channel, POLLIN, 0};
  ::poll(&ready, 1, -1);
  std::array<char, kMostLauncherBytes> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> room;
  iovec part{bytes.data(), bytes.size()};
  msghdr in{};
  in.msg_iov = &part;
  in.msg_iovlen = 1;
  in.msg_control = room.data();
  in.msg_controllen = room.size();
  const ssize_t got = ::recvmsg(channel, &in, MSG_CMSG_CLOEXEC);
  if (got <= 0) return std::nullopt;
  Packet packet{{bytes.data(), static_cast<std::size_t>(got)}, {}};
  const cmsghdr* header = CMSG_FIRSTHDR(&in);
  if (header == nullptr) return packet;
  for (std::size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
    packet.files.emplace_back(fd);
  }
  return packet;
}

std::string textOf(const UniqueFd& file) {
  std::string text(kMostLauncherBytes, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

/// A launcher that starts nothing. Its plan's working folder says what it does wrong.
class FakeLauncher {
 public:
  explicit FakeLauncher(int channel) : channel_(channel) {}

  int run() {
    while (const auto packet = nextPacket(channel_)) {
      const auto said = decodeMasterSays(packet->bytes);
      if (!said || packet->files.size() != filesWith(*said)) return 1;
      if (std::holds_alternative<FinishRuns>(*said) && fault_ != "stays") return 0;
      std::visit([&](const auto& each) { on(each, packet->files); }, *said);
    }
    return 0;
  }

 private:
  void say(const LauncherSays& message) {
    const std::string bytes = encode(message);
    ::send(channel_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void on(const TakePlan&, const std::vector<UniqueFd>& files) {
    const auto plan = decodeLauncherPlan(textOf(files[0]));
    struct stat folder {};
    if (!plan || ::fstat(files[1].get(), &folder) != 0 || !S_ISDIR(folder.st_mode)) ::_exit(2);
    fault_ = plan->mounts.at(0).folder;
    say(LauncherReady{});
  }
  void on(const TakeWorker& message, const std::vector<UniqueFd>& files) {
    const std::string hello = "hello " + std::to_string(message.worker);
    ::send(files[0].get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    if (fault_ == "accuses") say(WorkerLied{message.worker, "what"});
    if (fault_ == "babbles") ::send(channel_, "\xff", 1, MSG_NOSIGNAL);
  }
  void on(const ListScripts& message, const std::vector<UniqueFd>&) {
    if (fault_ == "silent") return;
    RunningScript script;
    script.pid = ::getpid();
    script.mount = "/cgi";
    say(ScriptsRunning{message.question, 1, {script}});
  }
  void on(const StopProcess& message, const std::vector<UniqueFd>&) {
    say(ScriptStopped{message.question, message.pid == ::getpid()});
  }
  void on(const FinishRuns&, const std::vector<UniqueFd>&) {}

  int channel_;
  std::string fault_;
};

WantedLauncher wantedLauncher(std::string user, std::string fault = "") {
  WantedLauncher wanted;
  wanted.account.account.user = std::move(user);
  ScriptMount mount;
  mount.folder = std::move(fault);
  wanted.plan.mounts.push_back(mount);
  return wanted;
}

class LauncherKeeperTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kGeneration = 7;
  static constexpr std::int64_t kWorker = 4711;

  bool runUntil(const std::function<bool()>& state) {
    const auto deadline = Clock::now() + kPatience;
    Timer look(loop_, [&] {
      if (state() || Clock::now() >= deadline) return loop_.stop();
      look.setAfter(std::chrono::milliseconds(1));
    });
    look.setAfter({});
    loop_.run();
    return state();
  }

  void begin(const std::string& fault = "") {
    std::vector<WantedLauncher> wanted;
    wanted.push_back(wantedLauncher("ann", fault));
    wanted.push_back(wantedLauncher("bob", fault));
    keeper_.begin(kGeneration, std::move(wanted), spool_.path());
  }

  static std::string helloFrom(const UniqueFd& end) {
    if (!end) return "no channel";
    const auto packet = nextPacket(end.get());
    return packet ? packet->bytes : "gone";
  }

  /// By place.
  std::vector<pid_t> pids() const {
    std::vector<pid_t> pids;
    for (const LauncherView& view : keeper_.launchers()) pids.push_back(view.pid);
    return pids;
  }

  LaunchersAnswer list() {
    std::optional<LaunchersAnswer> got;
    keeper_.listScripts([&](const LaunchersAnswer& answer) { got = answer; });
    EXPECT_TRUE(runUntil([&] { return got.has_value(); }));
    return got.value_or(LaunchersAnswer{});
  }

  LauncherHooks hooks(Clock::duration betweenLooks = std::chrono::minutes(1)) {
    return {[this](std::uint64_t generation) {
              return generation == kGeneration ? workers_ : std::vector<std::int64_t>();
            },
            [this](std::int64_t, std::uint32_t launcher, const UniqueFd& socket) {
              handedOver_.emplace_back(launcher, helloFrom(socket));
            },
            [this](std::uint64_t, std::int64_t worker, const std::string&) {
              liars_.push_back(worker);
            },
            [](UniqueFd channel, const std::optional<Account>&) {
              return forkProcess([&] {
                ::dup2(channel.get(), 3);
                ::close_range(4, ~0U, 0);
                return FakeLauncher(3).run();
              });
            },
            betweenLooks};
  }

  TempDir spool_;
  EventLoop loop_;
  std::vector<std::int64_t> workers_;
  std::vector<std::pair<std::uint32_t, std::string>> handedOver_;  ///< launcher, what it says
  std::vector<std::int64_t> liars_;
  LauncherKeeper keeper_{loop_, hooks()};
};

TEST_F(LauncherKeeperTest, GivesAWorkerAChannelToEachLauncher) {
  begin();
  const auto ends = keeper_.connect(kGeneration, kWorker);
  ASSERT_THAT(ends, SizeIs(2));
  EXPECT_EQ(helloFrom(ends[0]), "hello 4711");
  EXPECT_EQ(helloFrom(ends[1]), "hello 4711");
}

TEST_F(LauncherKeeperTest, AGenerationWithoutAnyHasNone) {
  keeper_.begin(kGeneration, {}, spool_.path());
  EXPECT_THAT(keeper_.connect(kGeneration, kWorker), IsEmpty());
  EXPECT_THAT(keeper_.launchers(), IsEmpty());
}

TEST_F(LauncherKeeperTest, StartsAKilledOneAgainAndConnectsTheWorkersAnew) {
  begin();
  const auto before = pids();
  workers_ = {kWorker};
  ::kill(before.at(1), SIGKILL);
  ASSERT_TRUE(runUntil([&] { return !handedOver_.empty(); }));
  EXPECT_THAT(handedOver_, ElementsAre(testing::Pair(1U, "hello 4711")));
  EXPECT_EQ(pids().at(0), before.at(0));
  EXPECT_NE(pids().at(1), before.at(1));
}

TEST_F(LauncherKeeperTest, PausesBeforeOneThatDiesAgainAndAgain) {
  begin();
  workers_ = {kWorker};
  bool paused = false;
  // One that has lived for a second, on a slow machine, is replaced without.
  for (std::size_t deaths = 1; deaths <= 20 && !paused; ++deaths) {
    const auto killed = Clock::now();
    ::kill(pids().at(0), SIGKILL);
    ASSERT_TRUE(runUntil([&] { return pids().at(0) == 0 || handedOver_.size() == deaths; }));
    if (pids().at(0) == 0) {
      const auto ends = keeper_.connect(kGeneration, kWorker);
      EXPECT_FALSE(ends.at(0)) << "there is none now";
      EXPECT_TRUE(ends.at(1));
    }
    ASSERT_TRUE(runUntil([&] { return handedOver_.size() == deaths; }));
    paused = deaths > 2 && Clock::now() - killed >= std::chrono::milliseconds(100);
  }
  EXPECT_TRUE(paused);
}

TEST_F(LauncherKeeperTest, ReplacesOneThatTalksNonsense) {
  begin("babbles");
  const auto before = pids();
  static_cast<void>(keeper_.connect(kGeneration, kWorker));
  EXPECT_TRUE(runUntil([&] {
    return pids().at(0) != before.at(0) && pids().at(0) != 0 && pids().at(1) != before.at(1);
  }));
}

TEST_F(LauncherKeeperTest, ReplacesOneThatDoesNotAnswerAnyMore) {
  LauncherKeeper keeper(loop_, hooks(std::chrono::milliseconds(5)));
  std::vector<WantedLauncher> wanted;
  wanted.push_back(wantedLauncher("ann", "silent"));
  keeper.begin(kGeneration, std::move(wanted), spool_.path());
  const pid_t first = keeper.launchers().at(0).pid;
  EXPECT_GT(first, 0);
  EXPECT_TRUE(runUntil([&] {
    const pid_t pid = keeper.launchers().at(0).pid;
    return pid > 0 && pid != first;
  }));
}

TEST_F(LauncherKeeperTest, TellsWhichWorkerLied) {
  begin("accuses");
  static_cast<void>(keeper_.connect(kGeneration, kWorker));
  ASSERT_TRUE(runUntil([&] { return liars_.size() == 2; }));
  EXPECT_THAT(liars_, ElementsAre(kWorker, kWorker));
}

TEST_F(LauncherKeeperTest, ListsWhatAllOfThemRun) {
  begin();
  const LaunchersAnswer answer = list();
  ASSERT_THAT(answer.scripts, SizeIs(2));
  EXPECT_NE(answer.scripts[0].account, answer.scripts[1].account);
  EXPECT_EQ(answer.scripts[0].script.mount, "/cgi");
  EXPECT_EQ(answer.more, 2U);
  EXPECT_EQ(answer.silent, 0U);
}

TEST_F(LauncherKeeperTest, ListsNothingWhereThereIsNone) { EXPECT_THAT(list().scripts, IsEmpty()); }

TEST_F(LauncherKeeperTest, CountsThoseThatDoNotAnswer) {
  begin("silent");
  EXPECT_EQ(list().silent, 2U);
}

TEST_F(LauncherKeeperTest, WaitsForNoneThatHasEnded) {
  begin("silent");
  std::optional<LaunchersAnswer> got;
  keeper_.listScripts([&](const LaunchersAnswer& answer) { got = answer; });
  for (const pid_t pid : pids()) ::kill(pid, SIGKILL);
  ASSERT_TRUE(runUntil([&] { return got.has_value(); }));
  EXPECT_EQ(got->silent, 0U) << "the patience with those who live was over";
}

TEST_F(LauncherKeeperTest, StopsAScriptWhoeverRunsIt) {
  begin();
  std::vector<bool> found;
  const auto note = [&](const LaunchersAnswer& answer) { found.push_back(answer.found); };
  keeper_.stopScript(pids().at(1), note);
  keeper_.stopScript(1, note);
  ASSERT_TRUE(runUntil([&] { return found.size() == 2; }));
  EXPECT_THAT(found, ElementsAre(true, false));
}

TEST_F(LauncherKeeperTest, FinishesThoseOfOneGeneration) {
  begin();
  std::vector<WantedLauncher> wanted;
  wanted.push_back(wantedLauncher("carl"));
  keeper_.begin(kGeneration + 1, std::move(wanted), spool_.path());
  keeper_.finish(kGeneration, kPatience);
  ASSERT_TRUE(runUntil([&] { return keeper_.launchers().size() == 1; }));
  EXPECT_EQ(keeper_.launchers()[0].account.account.user, "carl");
}

TEST_F(LauncherKeeperTest, KillsOneThatDoesNotFinish) {
  begin("stays");
  bool done = false;
  keeper_.finishAll(std::chrono::milliseconds(50), [&] { done = true; });
  ASSERT_TRUE(runUntil([&] { return done; }));
  EXPECT_THAT(keeper_.launchers(), IsEmpty());
}

TEST_F(LauncherKeeperTest, ForgetsOneThatPausesAtTheEnd) {
  begin();
  for (int deaths = 0; deaths < 3; ++deaths) {
    ASSERT_TRUE(runUntil([&] { return pids().at(0) != 0; }));
    ::kill(pids().at(0), SIGKILL);
    ASSERT_TRUE(runUntil([&, was = pids().at(0)] { return pids().at(0) != was; }));
  }
  bool done = false;
  keeper_.finishAll(kPatience, [&] { done = true; });
  EXPECT_TRUE(runUntil([&] { return done; }));
}

TEST_F(LauncherKeeperTest, SpeaksToTheOneThatSystemdHas) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = spool_ / "launcher-ann.sock";
  path.copy(address.sun_path, path.size());
  const UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  const auto service = forkProcess([&] {
    const UniqueFd channel(::accept(listener.get(), nullptr, nullptr));
    return FakeLauncher(channel.get()).run();
  });
  ASSERT_TRUE(service);
  std::vector<WantedLauncher> wanted;
  wanted.push_back(wantedLauncher("ann"));
  wanted[0].account.way = LauncherWay::kSystemd;
  wanted[0].account.socket = path;
  keeper_.begin(kGeneration, std::move(wanted), spool_.path());
  const auto ends = keeper_.connect(kGeneration, kWorker);
  ASSERT_THAT(ends, SizeIs(1));
  EXPECT_EQ(helloFrom(ends[0]), "hello 4711");
  EXPECT_EQ(list().scripts.size(), 1U);
  keeper_.finish(kGeneration, kPatience);
  EXPECT_TRUE(runUntil([&] { return keeper_.launchers().empty(); }));
  killProcess(*service);
  pollfd ended{service->pidFd.get(), POLLIN, 0};
  ::poll(&ended, 1, -1);
  collectProcess(*service);
}

}  // namespace
}  // namespace egalaxyd
