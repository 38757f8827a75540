#include "common/system/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "common/base/unique_fd.h"
#include "common/system/privilege.h"
#include "tests/support/hostile.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// 0 or errno of what a call returned, its descriptor closed.
int outcome(long returned) {
  if (returned < 0) return errno;
  return 0;
}

int openOutcome(const fs::path& file, int flags) {
  const UniqueFd fd(::open(file.c_str(), flags | O_CLOEXEC, 0600));
  return fd ? 0 : errno;
}

int openBeneath(int folder, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  const UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, folder, name, &how, sizeof how)));
  return fd ? 0 : errno;
}

int socketOutcome(int domain, int type) {
  const UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC, 0));
  return fd ? 0 : errno;
}

int forkOutcome() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  if (child > 0) ::waitpid(child, nullptr, 0);
  return child < 0 ? errno : 0;
}

int execOutcome() {
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  ::execve("/bin/true", arguments, environment);
  return errno;
}

/// Notes in a confined child what did not come out as expected.
class Probe {
 public:
  void expect(const std::string& what, int expected, int got) {
    if (got != expected) {
      notes_ += what + ": errno " + std::to_string(got) + " instead of " +
                std::to_string(expected) + "\n";
    }
  }
  void works(const std::string& what, int got) { expect(what, 0, got); }
  const std::string& notes() const { return notes_; }

 private:
  std::string notes_;
};

struct Confined {
  std::string taken;  ///< what enterSandbox returned
  std::string notes;  ///< of the probe; "" when all came out as expected

  bool has(std::string_view mechanism) const {
    return taken.find("no " + std::string(mechanism)) == std::string::npos &&
           taken.find(mechanism) != std::string::npos;
  }
};

std::string readAll(int fd) {
  std::string text;
  std::array<char, 512> chunk;
  ssize_t got = 0;
  while ((got = ::read(fd, chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

/// Enters the sandbox in a child and probes there; the child's end is checked.
Confined confined(const SandboxRules& rules,
                  const std::function<void(Probe&, const Confined&)>& probe,
                  SandboxMode mode = SandboxMode::kAuto) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto entered = enterSandbox(mode, rules);
    const Confined self{entered ? *entered : "error: " + entered.error().message, ""};
    Probe notes;
    probe(notes, self);
    const std::string text = self.taken + "\n" + notes.notes();
    const bool written =
        ::write(writing.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(written ? 0 : 1);
  }
  writing.reset();
  const std::string text = readAll(reading.get());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  const std::size_t line = text.find('\n');
  return {text.substr(0, line), line == std::string::npos ? "nothing" : text.substr(line + 1)};
}

class Sandbox : public testing::Test {
 protected:
  void SetUp() override {
    readable_ = dir_.makeDir("readable");
    writable_ = dir_.makeDir("writable");
    dir_.makeDir("secret");
    dir_.write("readable/page.gmi", "# page\n");
    dir_.write("secret/key", "key\n");
    dir_.write("writable/old", "old\n");
    rules_ = {{readable_}, {writable_}};
  }

  TempDir dir_;
  fs::path readable_, writable_;
  SandboxRules rules_;
};

TEST_F(Sandbox, OpensNothingButWhatTheRulesName) {
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    if (!self.has("landlock")) return;
    probe.works("read an allowed file", openOutcome(readable_ / "page.gmi", O_RDONLY));
    probe.works("list an allowed folder", openOutcome(readable_, O_RDONLY | O_DIRECTORY));
    probe.expect("/etc/passwd", EACCES, openOutcome("/etc/passwd", O_RDONLY));
    probe.expect("a neighbour", EACCES, openOutcome(dir_ / "secret/key", O_RDONLY));
    probe.expect("a neighbour by ..", EACCES, openOutcome(readable_ / "../secret/key", O_RDONLY));
    probe.expect("list the folder above", EACCES, openOutcome(dir_.path(), O_RDONLY | O_DIRECTORY));
    probe.expect("write", EACCES, openOutcome(readable_ / "page.gmi", O_WRONLY));
    probe.expect("create", EACCES, openOutcome(readable_ / "new", O_WRONLY | O_CREAT));
    probe.expect("remove", EACCES, outcome(::unlink((readable_ / "page.gmi").c_str())));
  });
  if (!result.has("landlock")) GTEST_SKIP() << result.taken;
  EXPECT_EQ(result.notes, "");
}

TEST_F(Sandbox, WritesMakesRenamesAndRemovesInAWritableFolder) {
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    const fs::path made = writable_ / "sub";
    const fs::path temporary = made / ".new";
    probe.works("mkdir", outcome(::mkdir(made.c_str(), 0700)));
    const UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    probe.works("create", fd ? 0 : errno);
    probe.works("pwrite", outcome(::pwrite(fd.get(), "new\n", 4, 0)));
    probe.works("ftruncate", outcome(::ftruncate(fd.get(), 3)));
    probe.works("fsync", outcome(::fsync(fd.get())));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    probe.works("lock", outcome(::fcntl(fd.get(), F_SETLK, &lock)));
    void* mapped = ::mmap(nullptr, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    probe.works("mmap", mapped == MAP_FAILED ? errno : 0);
    probe.works("rename", outcome(::rename(temporary.c_str(), (made / "done").c_str())));
    probe.works("link", outcome(::link((made / "done").c_str(), (made / "twin").c_str())));
    probe.works("truncate", openOutcome(writable_ / "old", O_WRONLY | O_TRUNC));
    probe.works("unlink", outcome(::unlink((writable_ / "old").c_str())));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
  EXPECT_EQ(dir_.read("writable/sub/done"), "new");
  EXPECT_FALSE(fs::exists(writable_ / "old"));
}

TEST_F(Sandbox, PublishesAnUnnamedTemporaryFile) {
  bool supported = true;
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    const UniqueFd fd(::open(writable_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!fd && errno == EOPNOTSUPP) return;
    probe.works("O_TMPFILE", fd ? 0 : errno);
    const std::string source = "/proc/self/fd/" + std::to_string(fd.get());
    probe.works("linkat", outcome(::linkat(AT_FDCWD, source.c_str(), AT_FDCWD,
                                           (writable_ / "upload").c_str(), AT_SYMLINK_FOLLOW)));
  });
  supported = fs::exists(writable_ / "upload") || !result.notes.empty();
  if (!supported) GTEST_SKIP() << "no O_TMPFILE on this file system";
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, OpensBeneathAnInheritedFolderOnlyWhereARuleAllows) {
  const UniqueFd allowed(::open(readable_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd forbidden(::open((dir_ / "secret").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    probe.works("allowed", openBeneath(allowed.get(), "page.gmi"));
    if (self.has("landlock"))
      probe.expect("forbidden", EACCES, openBeneath(forbidden.get(), "key"));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, KeepsDescriptorsThatAreOpen) {
  const UniqueFd file(::open((dir_ / "secret/key").c_str(), O_RDONLY | O_CLOEXEC));
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    char byte = 0;
    probe.works("read", outcome(::pread(file.get(), &byte, 1, 0)));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, RulesForSingleFilesAllowThoseAlone) {
  const SandboxRules rules{{readable_ / "page.gmi", "/dev/null"}, {writable_ / "old"}};
  const auto result = confined(rules, [&](Probe& probe, const Confined& self) {
    probe.works("read", openOutcome(readable_ / "page.gmi", O_RDONLY));
    probe.works("read /dev/null", openOutcome("/dev/null", O_RDONLY));
    probe.works("write", openOutcome(writable_ / "old", O_RDWR | O_TRUNC));
    if (!self.has("landlock")) return;
    probe.expect("its folder", EACCES, openOutcome(readable_, O_RDONLY | O_DIRECTORY));
    probe.expect("create", EACCES, openOutcome(writable_ / "new", O_WRONLY | O_CREAT));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, SkipsPathsThatDoNotExist) {
  rules_.readable.push_back(dir_ / "nowhere");
  rules_.writable.push_back(readable_ / "page.gmi" / "below-a-file");
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    probe.works("read", openOutcome(readable_ / "page.gmi", O_RDONLY));
  });
  EXPECT_EQ(result.notes, "");
  EXPECT_EQ(result.taken.find("nowhere"), std::string::npos) << result.taken;
}

TEST_F(Sandbox, StartsNoProgramAndNoProcess) {
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    if (self.has("landlock") || self.has("seccomp")) {
      probe.expect("execve", self.has("seccomp") ? EPERM : EACCES, execOutcome());
    }
    if (!self.has("seccomp")) return;
    probe.expect("fork", EPERM, forkOutcome());
    probe.expect("clone3", ENOSYS, outcome(::syscall(SYS_clone3, nullptr, 0)));
    probe.expect("ptrace", EPERM, outcome(::syscall(SYS_ptrace, 0, 0, 0, 0)));
    probe.expect("kill another", EPERM, outcome(::kill(::getppid(), 0)));
    probe.expect("mount", EPERM, outcome(::syscall(SYS_mount, "", "", "", 0, nullptr)));
    probe.expect("unshare", EPERM, outcome(::syscall(SYS_unshare, 0)));
    probe.expect("setuid", EPERM, outcome(::syscall(SYS_setuid, ::getuid())));
  });
  if (!result.has("seccomp")) GTEST_SKIP() << result.taken;
  EXPECT_EQ(result.notes, "");
}

TEST_F(Sandbox, ServesThreadsAndPollsAsBefore) {
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    int answer = 0;
    std::thread([&] { answer = 42; }).join();
    probe.works("a thread", answer == 42 ? 0 : -1);
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event none{};
    probe.works("epoll", outcome(::epoll_wait(epoll.get(), &none, 1, 0)));
    probe.works("thread name", outcome(::prctl(PR_SET_NAME, "worker", 0, 0, 0)));
    probe.works("signal to itself", outcome(::kill(::getpid(), 0)));
    probe.works("allocate", std::string(8 << 20, 'x').size() == 8U << 20 ? 0 : -1);
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, HoldsThreadsThatBeginLater) {
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    std::thread([&] {
      if (self.has("landlock")) {
        probe.expect("/etc/passwd", EACCES, openOutcome("/etc/passwd", O_RDONLY));
      }
      if (self.has("seccomp")) probe.expect("fork", EPERM, forkOutcome());
    }).join();
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

/// What connect(2) to a port of this machine says, at which nobody listens.
int connectOutcome(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(port);
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!fd) return errno;
  return outcome(::connect(fd.get(), reinterpret_cast<sockaddr*>(&there), sizeof there));
}

TEST_F(Sandbox, ConnectsToUnixSocketsAloneWhereItMayConnect) {
  rules_.outgoing.emplace();
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    probe.works("AF_UNIX", fd ? 0 : errno);
    probe.works("nonblocking", outcome(::fcntl(fd.get(), F_SETFL, O_RDWR | O_NONBLOCK)));
    sockaddr_un nowhere{};
    nowhere.sun_family = AF_UNIX;
    nowhere.sun_path[0] = '/';
    probe.expect(
        "connect", ECONNREFUSED,
        outcome(::connect(fd.get(), reinterpret_cast<sockaddr*>(&nowhere), sizeof nowhere)));
    if (!self.has("seccomp")) return;
    probe.expect("datagrams", EPERM, socketOutcome(AF_UNIX, SOCK_DGRAM));
    probe.expect("AF_INET", EPERM, socketOutcome(AF_INET, SOCK_STREAM));
    probe.expect("blocking", EPERM, outcome(::fcntl(fd.get(), F_SETFL, 0)));
    probe.expect("fgetxattr", EPERM, outcome(::fgetxattr(fd.get(), "user.a", nullptr, 0)));
    probe.expect("bind", EPERM, outcome(::bind(fd.get(), nullptr, 0)));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, ConnectsToThePortsThatItMayConnectTo) {
  rules_.outgoing = OutgoingRules{{1}};
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    probe.expect("its port", ECONNREFUSED, connectOutcome(1));
    const bool knowsPorts = self.taken.find("ABI 1") == std::string::npos &&
                            self.taken.find("ABI 2") == std::string::npos &&
                            self.taken.find("ABI 3") == std::string::npos && self.has("landlock");
    if (knowsPorts) probe.expect("another port", EACCES, connectOutcome(2));
    if (!self.has("seccomp")) return;
    probe.expect("datagrams", EPERM, socketOutcome(AF_INET, SOCK_DGRAM));
    probe.expect("AF_NETLINK", EPERM, socketOutcome(AF_NETLINK, SOCK_RAW));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, MarksFilesWhereItMay) {
  rules_.marksFiles = true;
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    const UniqueFd fd(::open((writable_ / "old").c_str(), O_RDWR | O_CLOEXEC));
    const int set = outcome(::fsetxattr(fd.get(), "user.egalaxyd", "1", 1, 0));
    if (set != EOPNOTSUPP) probe.works("fsetxattr", set);
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, AcceptsOnAnOpenListenerButOpensNoNewOne) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* address = reinterpret_cast<sockaddr*>(&here);  // NOLINT: the socket API's way
  socklen_t size = sizeof here;
  ASSERT_EQ(::bind(listener.get(), address, size), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  ASSERT_EQ(::getsockname(listener.get(), address, &size), 0);
  ASSERT_EQ(::connect(client.get(), address, size), 0);
  const auto result = confined(rules_, [&](Probe& probe, const Confined& self) {
    const UniqueFd taken(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    probe.works("accept4", taken ? 0 : errno);
    probe.works("send", outcome(::send(taken.get(), "20", 2, MSG_NOSIGNAL)));
    probe.works("shutdown", outcome(::shutdown(taken.get(), SHUT_WR)));
    if (!self.has("seccomp")) return;
    probe.expect("AF_UNIX", EPERM, socketOutcome(AF_UNIX, SOCK_DGRAM));
    probe.expect("AF_INET", EPERM, socketOutcome(AF_INET, SOCK_STREAM));
    probe.expect("AF_INET6", EPERM, socketOutcome(AF_INET6, SOCK_DGRAM));
    probe.expect("AF_NETLINK", EPERM, socketOutcome(AF_NETLINK, SOCK_RAW));
    probe.expect("listen", EPERM, outcome(::listen(listener.get(), 4)));
    probe.expect("bind", EPERM, outcome(::bind(taken.get(), nullptr, 0)));
    probe.expect("connect", EPERM, outcome(::connect(taken.get(), nullptr, 0)));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, ServesAConnectionWithTheOptionsAndFlagsThatItNeeds) {
  std::array<int, 2> ends{-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const UniqueFd near(ends[0]);
  const UniqueFd far(ends[1]);
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    const linger reset{1, 0};
    const int one = 1;
    probe.works("linger",
                outcome(::setsockopt(near.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset)));
    probe.works("low water",
                outcome(::setsockopt(near.get(), SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one)));
    const int flags = MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT;
    probe.works("send", outcome(::send(near.get(), "20", 2, flags)));
    probe.works("write", outcome(::write(near.get(), "20", 2)));
    probe.works("duplicate", outcome(::fcntl(near.get(), F_DUPFD_CLOEXEC, 3)));
    probe.works("flags", outcome(::fcntl(near.get(), F_GETFL)));
    probe.works("a umask of its own", outcome(::unshare(CLONE_FS)));
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

// A process of an ordinary account stands for the master, whose workers have its account.
class TakenWorker : public testing::TestWithParam<long> {
 protected:
  void SetUp() override {
    fs::permissions(dir_.path(), fs::perms::all);
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    service_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    for (const UniqueFd* fd : {&listener_, &service_}) ASSERT_EQ(::listen(fd->get(), 4), 0);
    datagrams_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un place{};
    place.sun_family = AF_UNIX;
    (dir_ / "datagrams").native().copy(place.sun_path, sizeof place.sun_path - 1);
    ASSERT_EQ(::bind(datagrams_.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
    fs::permissions(dir_ / "datagrams", fs::perms::all);
  }

  static std::uint16_t portOf(int fd) {
    sockaddr_in here{};
    socklen_t size = sizeof here;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size);
    return ntohs(here.sin_port);
  }

  static pid_t forked(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    body();
    ::_exit(0);
  }

  std::string attack(HostileTargets targets) const {
    UniqueFd(::open(targets.ownFile.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const auto entered = enterSandbox(SandboxMode::kAuto, {{}, {dir_.path()}}, GetParam());
    if (!entered) return entered.error().message;
    if (entered->find("no seccomp") != std::string::npos) return "";
    if (entered->find("no landlock") != std::string::npos) targets.foreignFile.clear();
    return attackAll(targets);
  }

  /// In the process that stands for the master.
  void beMaster(int out) const {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) return;
    static_cast<void>(denyTracing());
    const pid_t sibling = forked([] { ::pause(); });
    HostileTargets targets;
    targets.master = ::getpid();
    targets.sibling = sibling;
    targets.listener = listener_.get();
    targets.service = portOf(service_.get());
    targets.datagramSocket = dir_ / "datagrams";
    targets.ownFile = dir_ / "own";
    targets.foreignFile = "/etc/passwd";
    const pid_t worker = forked([&] {
      const std::string text = attack(targets) + "end\n";
      static_cast<void>(::write(out, text.data(), text.size()) == 0);
    });
    ::waitpid(worker, nullptr, 0);
    ::kill(sibling, SIGKILL);
    ::waitpid(sibling, nullptr, 0);
  }

  const TempDir dir_;
  UniqueFd listener_, service_, datagrams_;
};

TEST_P(TakenWorker, ReachesNothingAndHarmsNoListener) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t master = forked([&] { beMaster(writing.get()); });
  writing.reset();
  EXPECT_EQ(readAll(reading.get()), "end\n");
  ASSERT_EQ(::waitpid(master, nullptr, 0), master);

  int listens = 0;
  socklen_t size = sizeof listens;
  EXPECT_EQ(::getsockopt(listener_.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size), 0);
  EXPECT_EQ(listens, 1);
  EXPECT_NE(::fcntl(listener_.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(listener_.get(), F_GETOWN), 0);
  EXPECT_LT(::accept4(service_.get(), nullptr, nullptr, SOCK_CLOEXEC), 0);
  char byte = 0;
  EXPECT_LT(::recv(datagrams_.get(), &byte, 1, 0), 0);
  EXPECT_EQ(fs::status(dir_ / "own").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

// This kernel's Landlock, Linux 6.7's, Debian 12's (6.1), and none.
INSTANTIATE_TEST_SUITE_P(WithLandlock, TakenWorker, testing::Values(LONG_MAX, 4L, 2L, 0L),
                         [](const auto& each) {
                           return each.param == LONG_MAX ? std::string("Whole")
                                                         : "Abi" + std::to_string(each.param);
                         });

TEST_F(Sandbox, GainsNoPrivileges) {
  rules_.readable.push_back("/proc");
  const auto result = confined(rules_, [&](Probe& probe, const Confined&) {
    const UniqueFd status(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    const std::string text = readAll(status.get());
    probe.works("no_new_privs", text.find("NoNewPrivs:\t1") != std::string::npos ? 0 : -1);
  });
  EXPECT_EQ(result.notes, "") << result.taken;
}

TEST_F(Sandbox, DoesNothingWhenItIsOff) {
  const auto result = confined(
      {},
      [&](Probe& probe, const Confined&) {
        probe.works("/etc/passwd", openOutcome("/etc/passwd", O_RDONLY));
        probe.works("fork", forkOutcome());
        probe.works("socket", socketOutcome(AF_INET, SOCK_STREAM));
        probe.expect("no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
      },
      SandboxMode::kOff);
  EXPECT_EQ(result.taken, "off");
  EXPECT_EQ(result.notes, "");
}

TEST(SandboxPlaces, AreThoseWhereADeployMayPutAnotherFolder) {
  namespace fs = std::filesystem;
  const TempDir dir;
  const fs::path base = fs::canonical(dir.path());
  dir.makeDir("app/releases/r1/public");
  fs::create_directory_symlink("../app/releases/r1", dir.makeDir("live") / "current");
  fs::create_directory_symlink("live/current/public", base / "site");
  using Places = std::vector<fs::path>;
  const Replacements direct = replacementsOf(base / "live/current/public");
  EXPECT_EQ(direct.behindLinks, Places{base / "app/releases"});
  EXPECT_EQ(direct.around, base / "app/releases/r1");
  const Replacements linked = replacementsOf(base / "site");
  EXPECT_EQ(linked.behindLinks, (Places{base / "app/releases/r1", base / "app/releases"}))
      << "a link within the target of a link";
  EXPECT_EQ(replacementsOf(base / "nowhere/public/").around, base / "nowhere");
  for (const char* plain : {"/srv", "/", "/srv/"}) {
    EXPECT_TRUE(replacementsOf(plain).behindLinks.empty() && replacementsOf(plain).around.empty());
  }
  fs::create_directory_symlink("circle", base / "circle");
  replacementsOf(base / "circle/public");
}

TEST(SandboxPlaces, LeaveHomesOut) {
  const passwd* account = ::getpwuid(::geteuid());
  if (account == nullptr || !std::filesystem::is_directory(account->pw_dir)) {
    GTEST_SKIP() << "this account has no home";
  }
  const std::filesystem::path home = account->pw_dir;
  EXPECT_EQ(replacementsOf(home / "capsule").around, "");
  EXPECT_EQ(replacementsOf(home / "sites/capsule").around, home / "sites");
}

TEST_F(Sandbox, FailsWhenRequiredAndSomethingIsMissing) {
  const auto nothing = [](Probe&, const Confined&) {};
  const auto offered = confined(rules_, nothing);
  const auto required = confined(rules_, nothing, SandboxMode::kRequired);
  if (offered.has("landlock") && offered.has("seccomp")) {
    EXPECT_EQ(required.taken, offered.taken);
  } else {
    EXPECT_EQ(required.taken.rfind("error: server.sandbox", 0), 0U) << required.taken;
  }
}

}  // namespace
}  // namespace egalaxyd
