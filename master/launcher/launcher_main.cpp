#include "master/launcher/launcher_main.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/errno_error.h"
#include "common/loop/signal_source.h"
#include "common/system/privilege.h"
#include "master/launcher/launcher_door.h"
#include "master/launcher/launcher_session.h"
#include "master/launcher/others_limits.h"

namespace egalaxyd {
namespace {

/// The service manager's, at this number, if it passes one.
constexpr int kPassedSocket = 3;

/// How many sockets the service manager passes to this process, as sd_listen_fds(3) says it; its
/// library would be copied with each start of a script.
int passedSockets() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || pid != std::to_string(::getpid())) return 0;
  return std::atoi(count);
}

int fail(const std::string& why) {
  std::fprintf(stderr, "egalaxyd-launcher: %s\n", why.c_str());
  return EX_USAGE;
}

/// What is set here its scripts inherit, where they do not change it.
Result<void> becomeLauncher() {
  ::prctl(PR_SET_NAME, "egalaxyd-launch");
  // Processes whose parents end become children of this one, which can end them.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::clearenv();
  if (::chdir("/") != 0) return errnoError("enter /", errno);
  const UniqueFd none(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!none || ::dup2(none.get(), STDIN_FILENO) < 0) return errnoError("open /dev/null", errno);
  ::umask(S_IWGRP | S_IWOTH);
  const rlimit noCore{0, 0};
  ::setrlimit(RLIMIT_CORE, &noCore);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) ::signal(signal, SIG_DFL);
  resetSignals();
  if (auto dropped = dropPrivileges(std::nullopt); !dropped) return dropped;
  if (auto left = leaveOthersLimits(); !left) {
    std::fprintf(stderr, "egalaxyd-launcher: scripts can lower limits of other processes: %s\n",
                 left.error().message.c_str());
  }
  return {};
}

/// All masters that this process serves: one, or who comes through the door.
class Launcher {
 public:
  Launcher()
      : children_(loop_, {SIGCHLD}, [this](int) { processes_.collect(); }),
        tidy_(loop_, [this] { tidy(); }) {
    loop_.containExceptions([](std::string_view what) { fail(std::string(what)); });
  }

  int serveOne(UniqueFd channel) {
    endsWithLast_ = true;
    add(std::move(channel));
    loop_.run();
    return EX_OK;
  }
  int serveAll(UniqueFd socket) {
    const LauncherDoor door(loop_, std::move(socket),
                            [this](UniqueFd master) { add(std::move(master)); });
    loop_.run();
    return EX_OK;
  }

 private:
  struct Served {
    bool over = false;
    std::optional<LauncherSession> session;
  };

  void add(UniqueFd channel) {
    Served& served = served_.emplace_back();
    served.session.emplace(loop_, processes_, account_, std::move(channel), [this, &served] {
      served.over = true;
      tidy_.setAfter({});
    });
  }
  void tidy() {
    served_.remove_if([](const Served& one) { return one.over; });
    if (endsWithLast_ && served_.empty()) loop_.stop();
  }

  const OwnAccount account_ = OwnAccount::own();
  EventLoop loop_;
  ScriptProcesses processes_{loop_};
  SignalSource children_;
  std::list<Served> served_;
  bool endsWithLast_ = false;
  Timer tidy_;
};

}  // namespace

int runLauncher(int channel) {
  const int passed = passedSockets();
  if (passed > 1) return fail("it takes one socket, not " + std::to_string(passed));
  UniqueFd socket(passed == 1 ? kPassedSocket : channel);
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET) {
    return fail("egalaxyd and the service manager start it, nobody else does");
  }
  ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC);
  if (auto become = becomeLauncher(); !become) return fail(become.error().message);
  Launcher launcher;
  // A script could take the channels.
  if (auto denied = denyTracing(); !denied) return fail(denied.error().message);
  if (passed != 1) return launcher.serveOne(std::move(socket));
  std::signal(SIGTERM, SIG_DFL);
  if (auto isDoor = LauncherDoor::isOne(socket.get()); !isDoor) return fail(isDoor.error().message);
  return launcher.serveAll(std::move(socket));
}

}  // namespace egalaxyd
