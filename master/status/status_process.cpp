#include "master/status/status_process.h"

#include <malloc.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/memory_use.h"
#include "common/base/poco_seam.h"
#include "common/loop/signal_source.h"
#include "common/system/sandbox.h"
#include "master/status/status_board.h"
#include "master/status/status_server.h"

namespace egalaxyd {
namespace {

/// What the process may allocate beyond what it was forked with.
constexpr rlim_t kMostMemory = 64 * 1024 * 1024;
constexpr off_t kMostFigures = 8 * 1024 * 1024;
/// Latencies are told of so many of the last samples together.
constexpr std::size_t kWindow = 5;

/// All but these and the standard ones.
void closeOthers(std::vector<int> kept) {
  std::ranges::sort(kept);
  unsigned next = STDERR_FILENO + 1;
  for (const int each : kept) {
    const auto fd = static_cast<unsigned>(each);
    if (fd > next) ::close_range(next, fd - 1, 0);
    next = std::max(next, fd + 1);
  }
  ::close_range(next, UINT_MAX, 0);
}

/// Data and stacks in the sixth column, in pages. A build with a sanitizer does not ask.
[[maybe_unused]] std::optional<rlim_t> dataInUse() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return std::nullopt;
  unsigned long pages = 0;
  const int read = std::fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages);
  std::fclose(file);
  if (read != 1) return std::nullopt;
  return static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

void boundMemory() {
  ::mallopt(M_ARENA_MAX, 1);  // its threads do little
#ifndef EGALAXYD_SANITIZED    // whose runtime allocates as it likes
  const auto used = dataInUse();
  if (!used) return;
  const rlimit limit{*used + kMostMemory, *used + kMostMemory};
  ::setrlimit(RLIMIT_DATA, &limit);
#endif
}

Result<void> confineStatus(const StatusSetup& setup) {
  if (auto dropped = dropPrivileges(setup.account); !dropped) return dropped;
  const auto entered = enterSandbox(setup.sandbox, {});
  if (!entered) return entered.error();
  return {};
}

Result<std::string> readFile(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errnoError("look at the figures", errno);
  if (info.st_size > kMostFigures) return Error{ErrorCode::kNoSpace, "the figures are too long"};
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  if (::pread(fd, text.data(), text.size(), 0) != info.st_size) {
    return errnoError("read the figures", EIO);
  }
  return text;
}

double inSeconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

class StatusProcess {
 public:
  StatusProcess(StatusSetup setup, MemoryUse memory)
      : setup_(std::move(setup)), memory_(std::move(memory)) {}

  int run() {
    const auto started = guarded("serve the status page", [this] {
      server_ = std::make_unique<StatusServer>(setup_.listeners, setup_.token, board_);
    });
    if (!started) {
      static_cast<void>(setup_.channel.send(ChannelMessage::kRefused, started.error().message));
      return EX_OSERR;
    }
    for (;;) {
      if (!asked_ && Clock::now() >= nextQuestion_) {
        // A master that does not read has gone, or is busy: its silence is noticed.
        asked_ = setup_.channel.send(ChannelMessage::kFigures).ok();
        nextQuestion_ = Clock::now() + kStatusInterval;
      }
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(nextQuestion_ - Clock::now()).count();
      pollfd channel{setup_.channel.fd(), POLLIN, 0};
      ::poll(&channel, 1, asked_ ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
      if (channel.revents == 0) continue;
      if (!takeAnswer()) return EX_OK;
    }
  }

 private:
  using Kind = WorkerChannel::Received::Kind;

  /// False: the master wants no more, or has gone.
  bool takeAnswer() {
    const auto received = setup_.channel.receive(WorkerChannel::Files::kTake);
    if (received.kind == Kind::kNothing) return true;
    if (received.kind != Kind::kMessage) return false;
    asked_ = false;
    nextQuestion_ = Clock::now() + kStatusInterval;
    const auto json = readFile(received.file.get());
    if (!json) return true;  // the next ones may be better; until then the page says how old it is
    StatusSample sample;
    auto figures = readFigures(*json, sample);
    if (!figures) return true;
    sample.time = std::chrono::duration_cast<std::chrono::milliseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
    addLatencies(sample);
    board_.put(std::move(*figures), sample, memory_.kib().value_or(0));
    return true;
  }

  void addLatencies(StatusSample& sample) {
    Latencies now;
    for (const Protocol protocol : kProtocols) {
      now.add(setup_.shared->latencies(protocol, Span::kFirstByte));
    }
    const Latencies recent = samples_ == 0 ? Latencies() : now.since(earlier_[oldest()]);
    earlier_[samples_ % kWindow] = now;
    ++samples_;
    sample.answered = recent.count() > 0;
    sample.p50 = inSeconds(recent.quantile(0.5));
    sample.p90 = inSeconds(recent.quantile(0.9));
    sample.p99 = inSeconds(recent.quantile(0.99));
  }

  std::size_t oldest() const { return samples_ < kWindow ? 0 : samples_ % kWindow; }

  StatusSetup setup_;
  const MemoryUse memory_;
  StatusBoard board_;
  std::unique_ptr<StatusServer> server_;  ///< never destroyed: that would wait for its threads
  bool asked_ = false;
  Clock::time_point nextQuestion_{};
  std::array<Latencies, kWindow> earlier_{};  ///< a ring
  std::size_t samples_ = 0;
};

}  // namespace

int runStatusProcess(StatusSetup setup) {
  resetSignals();
  ::prctl(PR_SET_NAME, "egalaxyd-status");  // as ps shows it: not a worker
  spdlog::set_level(spdlog::level::off);    // the log's descriptor goes, too
  std::vector<int> kept = setup.listeners;
  kept.push_back(setup.channel.fd());
  closeOthers(std::move(kept));
  MemoryUse memory;
  boundMemory();
  if (auto confined = confineStatus(setup); !confined) {
    static_cast<void>(setup.channel.send(ChannelMessage::kRefused, confined.error().message));
    return EX_NOPERM;
  }
  auto* process = new StatusProcess(std::move(setup), std::move(memory));
  return process->run();  // its threads end with the process, and use it until then
}

}  // namespace egalaxyd
