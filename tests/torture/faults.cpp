// Preloaded into the real programs: calls that fail, take long, or lie, as a test wishes. What it
// wishes stands in the file $EGALAXYD_FAULTS, which all processes map before they are confined.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

/// As the tests write it: eight numbers of 64 bits.
struct Faults {
  std::atomic<std::int64_t> syncs;       ///< fsync and fdatasync since the test set it to 0
  std::atomic<std::int64_t> failFrom;    ///< the number of the first that fails; 0: none
  std::atomic<std::int64_t> failures;    ///< how many fail in a row
  std::atomic<std::int64_t> syncMicros;  ///< how long each takes at least
  std::atomic<std::int64_t> noTmpfile;   ///< 1: the file system has no O_TMPFILE
  std::atomic<std::int64_t> ahead;       ///< seconds that the wall clock is ahead
  std::atomic<std::int64_t> noExchange;  ///< 1: the file system has no RENAME_EXCHANGE
  std::atomic<std::int64_t> unused;
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
  return static_cast<int>(::syscall(call, fd));
}

int openFile(int folder, const char* path, int flags, unsigned mode) {
  if ((flags & O_TMPFILE) == O_TMPFILE && faults().noTmpfile != 0) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
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

int renameat2(int from, const char* old, int to, const char* name, unsigned flags) noexcept {
  if ((flags & 2U) != 0 && faults().noExchange != 0) {  // RENAME_EXCHANGE
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_renameat2, from, old, to, name, flags));
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
