#include "tests/support/hostile.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace egalaxyd {
namespace {

/// Numbers that Debian 12's headers do not have.
constexpr long kIoUringSetup = 425;
constexpr long kMemfdSecret = 447;
constexpr int kTcpFastOpenConnect = 30;

class Attacker {
 public:
  explicit Attacker(const HostileTargets& targets) : at_(targets) {}

  std::string run() {
    makeSockets();
    connectOut();
    ruinListener();
    setOptions();
    askForSignals();
    sendSignals(at_.master, "master");
    if (at_.sibling != 0) sendSignals(at_.sibling, "sibling");
    touchFiles();
    sendDatagrams();
    beSomebodyElse();
    askTheKernel();
    return found_;
  }

 private:
  /// `returned` as system calls do. What it opened stays open: the process is a test's.
  void note(const std::string& what, long returned) {
    if (returned < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS)) return;
    found_ += what + ": " + (returned < 0 ? "errno " + std::to_string(errno) : "done") + "\n";
  }

  void makeSockets() {
    note("socket AF_INET", ::socket(AF_INET, SOCK_STREAM, 0));
    note("socket AF_INET6", ::socket(AF_INET6, SOCK_DGRAM, 0));
    note("socket AF_UNIX", ::socket(AF_UNIX, SOCK_DGRAM, 0));
    note("socket AF_NETLINK", ::socket(AF_NETLINK, SOCK_RAW, 0));
    note("socket AF_PACKET", ::socket(AF_PACKET, SOCK_RAW, 0));
    note("socket AF_VSOCK", ::socket(AF_VSOCK, SOCK_STREAM, 0));
    note("socket AF_ALG", ::socket(AF_ALG, SOCK_SEQPACKET, 0));
  }

  sockaddr_in service() const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at_.service);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void connectOut() {
    const sockaddr_in address = service();
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    const int fd = at_.listener;
    note("connect", ::connect(fd, to, sizeof address));
    note("sendto an address", ::sendto(fd, "x", 1, MSG_NOSIGNAL, to, sizeof address));
    note("sendto MSG_FASTOPEN",
         ::sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to, sizeof address));
    note("sendto MSG_FASTOPEN without an address",
         ::sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, nullptr, 0));
    char byte = 'x';
    iovec part{&byte, 1};
    mmsghdr message{};
    message.msg_hdr.msg_name = const_cast<sockaddr_in*>(&address);
    message.msg_hdr.msg_namelen = sizeof address;
    message.msg_hdr.msg_iov = &part;
    message.msg_hdr.msg_iovlen = 1;
    note("sendmsg MSG_FASTOPEN", ::sendmsg(fd, &message.msg_hdr, MSG_FASTOPEN | MSG_NOSIGNAL));
    note("sendmmsg MSG_FASTOPEN", ::sendmmsg(fd, &message, 1, MSG_FASTOPEN | MSG_NOSIGNAL));
  }

  void ruinListener() {
    note("shutdown SHUT_RD", ::shutdown(at_.listener, SHUT_RD));
    note("shutdown SHUT_RDWR", ::shutdown(at_.listener, SHUT_RDWR));
    note("listen", ::listen(at_.listener, 0));
    note("bind", ::bind(at_.listener, nullptr, 0));
    note("fcntl F_SETFL", ::fcntl(at_.listener, F_SETFL, 0));
    int off = 0;
    note("ioctl FIONBIO", ::ioctl(at_.listener, FIONBIO, &off));
    note("ioctl FIOASYNC", ::ioctl(at_.listener, FIOASYNC, &off));
  }

  void setOptions() {
    struct Option {
      const char* name;
      int level;
      int number;
    };
    constexpr Option kOptions[] = {
        {"SO_DETACH_FILTER", SOL_SOCKET, SO_DETACH_FILTER},
        {"SO_LOCK_FILTER", SOL_SOCKET, SO_LOCK_FILTER},
        {"SO_ATTACH_BPF", SOL_SOCKET, SO_ATTACH_BPF},
        {"SO_ATTACH_REUSEPORT_EBPF", SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF},
        {"SO_BINDTODEVICE", SOL_SOCKET, SO_BINDTODEVICE},
        {"SO_MARK", SOL_SOCKET, SO_MARK},
        {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT},
        {"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF},
        {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF},
        {"SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO},
        {"TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN},
        {"TCP_FASTOPEN_CONNECT", IPPROTO_TCP, kTcpFastOpenConnect},
        {"TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT},
        {"TCP_REPAIR", IPPROTO_TCP, TCP_REPAIR},
        {"TCP_ULP", IPPROTO_TCP, TCP_ULP},
        {"TCP_MD5SIG", IPPROTO_TCP, TCP_MD5SIG},
        {"TCP_WINDOW_CLAMP", IPPROTO_TCP, TCP_WINDOW_CLAMP},
        {"IP_TRANSPARENT", IPPROTO_IP, IP_TRANSPARENT},
        {"IP_OPTIONS", IPPROTO_IP, IP_OPTIONS},
        {"IP_TTL", IPPROTO_IP, IP_TTL}};
    const int one = 1;
    for (const Option& option : kOptions) {
      note(std::string("setsockopt ") + option.name,
           ::setsockopt(at_.listener, option.level, option.number, &one, sizeof one));
    }
    sock_filter dropAll{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &dropAll};
    for (const int name : {SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF}) {
      note("setsockopt of a filter, " + std::to_string(name),
           ::setsockopt(at_.listener, SOL_SOCKET, name, &program, sizeof program));
    }
  }

  /// Signals that the kernel sends on behalf of a descriptor's owner (F_SETOWN).
  void askForSignals() {
    f_owner_ex owner{F_OWNER_PID, at_.master};
    pid_t group = at_.master;
    note("fcntl F_SETOWN", ::fcntl(at_.listener, F_SETOWN, at_.master));
    note("fcntl F_SETOWN_EX", ::fcntl(at_.listener, F_SETOWN_EX, &owner));
    note("fcntl F_SETSIG", ::fcntl(at_.listener, F_SETSIG, SIGKILL));
    note("fcntl F_SETFL O_ASYNC", ::fcntl(at_.listener, F_SETFL, O_ASYNC | O_NONBLOCK));
    note("ioctl FIOSETOWN", ::ioctl(at_.listener, FIOSETOWN, &group));
    note("ioctl SIOCSPGRP", ::ioctl(at_.listener, SIOCSPGRP, &group));
    const int file = ::open(at_.ownFile.c_str(), O_RDONLY | O_CLOEXEC);
    note("fcntl F_SETLEASE", ::fcntl(file, F_SETLEASE, F_RDLCK));
    note("fcntl F_NOTIFY", ::fcntl(file, F_NOTIFY, DN_MODIFY));
    note("fcntl F_SETPIPE_SZ", ::fcntl(file, F_SETPIPE_SZ, 1 << 20));
    ::close(file);
  }

  /// Signal 0 harms nobody.
  void sendSignals(pid_t to, const std::string& whom) {
    note("kill the " + whom, ::kill(to, 0));
    note("tgkill the " + whom, ::syscall(SYS_tgkill, to, to, 0));
    note("tkill the " + whom, ::syscall(SYS_tkill, to, 0));
    siginfo_t info{};
    info.si_code = SI_QUEUE;
    note("rt_sigqueueinfo to the " + whom, ::syscall(SYS_rt_sigqueueinfo, to, 0, &info));
    note("pidfd_open of the " + whom, ::syscall(SYS_pidfd_open, to, 0));
    note("ptrace of the " + whom, ::ptrace(PTRACE_SEIZE, to, nullptr, nullptr));
    std::array<char, 8> bytes{};
    iovec own{bytes.data(), bytes.size()};
    iovec remote{this, bytes.size()};
    note("process_vm_readv of the " + whom, ::process_vm_readv(to, &own, 1, &remote, 1, 0));
    note("process_vm_writev to the " + whom, ::process_vm_writev(to, &own, 1, &remote, 1, 0));
    const std::string folder = "/proc/" + std::to_string(to);
    note("memory of the " + whom, ::open((folder + "/mem").c_str(), O_RDWR | O_CLOEXEC));
    note("environment of the " + whom, ::open((folder + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
    rlimit limit{};
    note("prlimit of the " + whom, ::prlimit(to, RLIMIT_NOFILE, nullptr, &limit));
    note("sched_setaffinity of the " + whom, ::syscall(SYS_sched_setaffinity, to, 0, nullptr));
    note("setpriority of the " + whom, ::setpriority(PRIO_PROCESS, static_cast<id_t>(to), 19));
  }

  void touchFiles() {
    const int file = ::open(at_.ownFile.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) found_ += "its own file is out of reach: errno " + std::to_string(errno) + "\n";
    note("fchmod", ::fchmod(file, 04777));
    note("chmod", ::chmod(at_.ownFile.c_str(), 0777));
    note("fchmodat", ::fchmodat(AT_FDCWD, at_.ownFile.c_str(), 0777, 0));
    note("fchown", ::fchown(file, ::getuid(), ::getgid()));
    note("chown", ::chown(at_.ownFile.c_str(), ::getuid(), ::getgid()));
    note("futimens", ::futimens(file, nullptr));
    note("utimensat", ::utimensat(AT_FDCWD, at_.ownFile.c_str(), nullptr, 0));
    note("setxattr", ::syscall(SYS_fsetxattr, file, "user.x", "x", 1, 0));
    note("mknod", ::mknod((at_.ownFile + ".fifo").c_str(), S_IFIFO | 0600, 0));
    note("symlink", ::symlink("/", (at_.ownFile + ".link").c_str()));
    ::close(file);
    if (at_.foreignFile.empty()) return;
    note("another file", ::open(at_.foreignFile.c_str(), O_RDONLY | O_CLOEXEC));
  }

  void sendDatagrams() {
    std::array<int, 2> pair{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    at_.datagramSocket.copy(address.sun_path, sizeof address.sun_path - 1);
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    note("datagram to a unix socket", ::sendto(pair[0], "x", 1, 0, to, sizeof address));
    char byte = 'x';
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    note("sendmsg to a unix socket", ::sendmsg(pair[0], &message, 0));
    note("connect to a unix socket", ::connect(pair[0], to, sizeof address));
    for (const int fd : pair) ::close(fd);
  }

  void beSomebodyElse() {
    char name[] = "true";
    char* const arguments[] = {name, nullptr};
    note("execve", ::execve("/bin/true", arguments, arguments + 1));
    note("execveat", ::syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, arguments + 1, 0));
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    note("fork", child);
    if (child > 0) ::waitpid(child, nullptr, 0);
    note("clone3", ::syscall(SYS_clone3, nullptr, 0));
    note("unshare CLONE_NEWUSER", ::unshare(CLONE_NEWUSER));
    note("unshare CLONE_NEWUSER and CLONE_FS", ::unshare(CLONE_NEWUSER | CLONE_FS));
    note("setns", ::setns(-1, 0));
    note("setuid", ::syscall(SYS_setuid, ::getuid()));
    note("setsid", ::setsid());
    note("chroot", ::chroot("/"));
    note("mount", ::syscall(SYS_mount, "", "", "", 0, nullptr));
    note("prctl PR_SET_DUMPABLE", ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    note("prctl PR_SET_PTRACER", ::prctl(PR_SET_PTRACER, 1, 0, 0, 0));
    note("prctl PR_SET_PDEATHSIG", ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0));
  }

  void askTheKernel() {
    note("io_uring_setup", ::syscall(kIoUringSetup, 1, nullptr));
    note("bpf", ::syscall(SYS_bpf, 0, nullptr, 0));
    note("perf_event_open", ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0));
    note("userfaultfd", ::syscall(SYS_userfaultfd, 0));
    note("keyctl", ::syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    note("memfd_create", ::memfd_create("x", MFD_CLOEXEC));
    note("memfd_secret", ::syscall(kMemfdSecret, 0));
    note("open_by_handle_at", ::syscall(SYS_open_by_handle_at, -1, nullptr, 0));
    note("fanotify_init", ::syscall(SYS_fanotify_init, 0, 0));
    note("inotify_init1", ::syscall(SYS_inotify_init1, 0));
    note("shmget", ::syscall(SYS_shmget, 0, 4096, 0600));
    note("msgget", ::syscall(SYS_msgget, 0, 0600));
    note("seccomp", ::syscall(SYS_seccomp, 1, 0, nullptr));
  }

  const HostileTargets& at_;
  std::string found_;
};

}  // namespace

std::string attackAll(const HostileTargets& targets) { return Attacker(targets).run(); }

}  // namespace egalaxyd
