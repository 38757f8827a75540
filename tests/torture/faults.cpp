// Preloaded into the real programs: calls that fail, take long, lie, or are the process's last, as
// a test wishes. What it wishes stands in the file $EGALAXYD_FAULTS, which all processes map before
// they are confined.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

/// As faults.py writes it: numbers of 64 bits.
struct Faults {
  std::atomic<std::int64_t> syncs;       ///< fsync and fdatasync since the test set it to 0
  std::atomic<std::int64_t> failFrom;    ///< the number of the first that fails; 0: none
  std::atomic<std::int64_t> failures;    ///< how many fail in a row
  std::atomic<std::int64_t> syncMicros;  ///< how long each takes at least
  std::atomic<std::int64_t> noTmpfile;   ///< 1: the file system has no O_TMPFILE
  std::atomic<std::int64_t> ahead;       ///< seconds that the wall clock is ahead
  std::atomic<std::int64_t> noExchange;  ///< 1: the file system has no RENAME_EXCHANGE
  // A step is a call of the process `victim` that changes what is on the disk.
  std::atomic<std::int64_t> victim;     ///< its process id; 0: nobody
  std::atomic<std::int64_t> steps;      ///< since the test set it to 0
  std::atomic<std::int64_t> dieAt;      ///< the number of the step that is its last; 0: none
  std::atomic<std::int64_t> early;      ///< 1: it dies before that call, or half-way in a write
  std::atomic<std::int64_t> onlyNames;  ///< 1: only calls that give a file a name are steps
  std::atomic<std::int64_t> links;      ///< names that it has given since the test set it to 0
  std::atomic<std::int64_t> renames;    ///< files that it has renamed since
};

Faults* map() {
  static Faults none{};
  const char* name = std::getenv("EGALAXYD_FAULTS");
  if (name == nullptr) return &none;
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0));
  void* memory = ::mmap(nullptr, sizeof(Faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return memory == MAP_FAILED ? &none : static_cast<Faults*>(memory);
}

Faults& faults() {
  static Faults* const mapped = map();
  return *mapped;
}
[[gnu::constructor]] void mapEarly() { faults(); }

enum class Step { kLink, kRename, kOther };

/// `call()`, a system call that returns -1 when it fails. Where the process dies early, only
/// `half()` is done of it.
template <class Call, class Half>
auto step(Step kind, Call call, Half half) {
  Faults& wish = faults();
  const bool counts = wish.onlyNames == 0 || kind != Step::kOther;
  if (wish.victim == 0 || wish.victim != ::getpid() || !counts) return call();
  const bool isLast = ++wish.steps == wish.dieAt;
  if (isLast && wish.early != 0) {
    half();
    ::raise(SIGKILL);
  }
  const auto result = call();
  if (result >= 0 && kind == Step::kLink) ++wish.links;
  if (result >= 0 && kind == Step::kRename) ++wish.renames;
  if (isLast) ::raise(SIGKILL);
  return result;
}

template <class Call>
auto step(Step kind, Call call) {
  return step(kind, call, [] {});
}

/// Not the log, which is opened to append, and no pipe or socket.
bool isOnDisk(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
         (::fcntl(fd, F_GETFL) & O_APPEND) == 0;
}

int sync(long call, int fd) {
  Faults& wish = faults();
  const std::int64_t number = ++wish.syncs;
  if (const std::int64_t micros = wish.syncMicros; micros > 0) {
    ::usleep(static_cast<useconds_t>(micros));
  }
  const std::int64_t first = wish.failFrom;
  if (first > 0 && number >= first && number < first + wish.failures) {
    errno = EIO;
    return -1;
  }
  return step(Step::kOther, [&] { return static_cast<int>(::syscall(call, fd)); });
}

int openFile(int folder, const char* path, int flags, unsigned mode) {
  if ((flags & O_TMPFILE) == O_TMPFILE && faults().noTmpfile != 0) {
    errno = EOPNOTSUPP;
    return -1;
  }
  const auto open = [&] {
    return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
  };
  const bool makesFile = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return makesFile ? step(Step::kOther, open) : open();
}

}  // namespace

extern "C" {

int fsync(int fd) { return sync(SYS_fsync, fd); }
int fdatasync(int fd) { return sync(SYS_fdatasync, fd); }

int openat(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = va_arg(rest, unsigned);
  va_end(rest);
  return openFile(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = va_arg(rest, unsigned);
  va_end(rest);
  return openFile(folder, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = va_arg(rest, unsigned);
  va_end(rest);
  return openFile(AT_FDCWD, path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  const auto writeSome = [&](size_t some) { return ::syscall(SYS_write, fd, bytes, some); };
  if (faults().victim == 0 || !isOnDisk(fd)) return writeSome(size);
  return step(
      Step::kOther, [&] { return writeSome(size); }, [&] { writeSome(size / 2); });
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  const auto writeSome = [&](size_t some) {
    return ::syscall(SYS_pwrite64, fd, bytes, some, offset);
  };
  return step(
      Step::kOther, [&] { return writeSome(size); }, [&] { writeSome(size / 2); });
}
int ftruncate64(int fd, off64_t size) noexcept {
  return step(Step::kOther, [&] { return static_cast<int>(::syscall(SYS_ftruncate, fd, size)); });
}

int mkdirat(int folder, const char* name, mode_t mode) noexcept {
  return step(Step::kOther,
              [&] { return static_cast<int>(::syscall(SYS_mkdirat, folder, name, mode)); });
}
int unlinkat(int folder, const char* name, int flags) noexcept {
  return step(Step::kOther,
              [&] { return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags)); });
}
int unlink(const char* name) noexcept { return unlinkat(AT_FDCWD, name, 0); }

int linkat(int from, const char* old, int to, const char* name, int flags) noexcept {
  return step(Step::kLink,
              [&] { return static_cast<int>(::syscall(SYS_linkat, from, old, to, name, flags)); });
}
int renameat2(int from, const char* old, int to, const char* name, unsigned flags) noexcept {
  if ((flags & 2U) != 0 && faults().noExchange != 0) {  // RENAME_EXCHANGE
    errno = EINVAL;
    return -1;
  }
  return step(Step::kRename, [&] {
    return static_cast<int>(::syscall(SYS_renameat2, from, old, to, name, flags));
  });
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME) time->tv_sec += faults().ahead;
  return result;
}

time_t time(time_t* result) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
