#include "master/child/query_runner.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/write_all.h"
#include "common/loop/signal_source.h"

namespace egalaxyd {
namespace {

/// Milliseconds for a killed process to be gone when the master leaves.
constexpr int kLastWait = 100;

/// Closes every descriptor but the standard ones and these; -1 is none.
void closeAllBut(int one, int other) {
  int first = STDERR_FILENO + 1;
  for (const int kept : {std::min(one, other), std::max(one, other)}) {
    if (kept < first) continue;
    if (kept > first)
      ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(kept) - 1, 0);
    first = kept + 1;
  }
  ::close_range(static_cast<unsigned>(first), UINT_MAX, 0);
}

/// In the forked process.
int work(const QueryRunner::Work& body, int out, int kept, std::chrono::seconds patience) {
  resetSignals();
  ::prctl(PR_SET_NAME, "egalaxyd-query");  // as ps shows it: not a worker
  spdlog::set_level(spdlog::level::off);   // the log's descriptor goes, too
  closeAllBut(out, kept);
  // In case the master has gone by then; alarm(0) is none.
  ::alarm(static_cast<unsigned>(2 * patience.count()));
  return writeAll(out, body()) == 0 ? EX_OK : EX_IOERR;
}

Result<std::string> readAll(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errnoError("look at the answer", errno);
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > QueryRunner::kMostBytes) {
    return Error{ErrorCode::kNoSpace, "the answer is too long; ask for less"};
  }
  std::string text(size, '\0');
  const ssize_t got = ::pread(fd, text.data(), size, 0);
  if (got < 0 || static_cast<std::size_t>(got) != size) {
    return errnoError("read the answer", got < 0 ? errno : EIO);
  }
  return text;
}

/// Of a process that has ended.
Result<std::string> answerOf(const ForkedProcess& ended, int answer, const std::string& process) {
  const siginfo_t info = collectProcess(ended);
  if (info.si_pid != 0 && info.si_code == CLD_EXITED && info.si_status == EX_OK) {
    return readAll(answer);
  }
  return Error{ErrorCode::kIo, process + " " + endInWords(info)};
}

}  // namespace

struct QueryRunner::Query {
  Query(QueryRunner& runner, ForkedProcess forked, UniqueFd written, Done whenDone)
      : process(std::move(forked)),
        answer(std::move(written)),
        done(std::move(whenDone)),
        ended(runner.loop_,
              [this, &runner](IoEvents) {
                ended.stop();
                runner.loop_.defer([this, &runner] { runner.onEnded(*this); });
              }),
        patience(runner.loop_, [this, &runner] { giveUp(runner.settings_.late); }) {}

  /// A process that waits for a disk survives SIGKILL for a while: the client is answered now.
  void giveUp(const std::string& late) {
    killProcess(process);
    std::exchange(done, nullptr)(Error{ErrorCode::kBusy, late});
  }

  ForkedProcess process;
  UniqueFd answer;
  Done done;  ///< empty once it was told
  Watch ended;
  Timer patience;
};

QueryRunner::QueryRunner(EventLoop& loop, QuerySettings settings)
    : loop_(loop), settings_(std::move(settings)) {}

QueryRunner::~QueryRunner() {
  for (const auto& query : queries_) {
    killProcess(query->process);
    pollfd ended{query->process.pidFd.get(), POLLIN, 0};
    ::poll(&ended, 1, kLastWait);
    ::waitpid(query->process.pid, nullptr,
              WNOHANG);  // one that is stuck in disk I/O is left to init
  }
}

Result<void> QueryRunner::run(const Work& body, Done done, int kept) {
  if (queries_.size() >= settings_.most) return Error{ErrorCode::kBusy, settings_.busy};
  UniqueFd answer(::memfd_create("answer", MFD_CLOEXEC));
  if (!answer) return errnoError("make a memory file", errno);
  auto process = forkProcess([&] { return work(body, answer.get(), kept, settings_.patience); });
  if (!process) return process.error();
  auto query =
      std::make_unique<Query>(*this, std::move(*process), std::move(answer), std::move(done));
  if (auto watched = query->ended.start(query->process.pidFd.get(), WatchMode::kRead); !watched) {
    killProcess(query->process);
    ::waitpid(query->process.pid, nullptr, 0);
    return watched;
  }
  query->patience.setAfter(settings_.patience);
  queries_.push_back(std::move(query));
  return {};
}

void QueryRunner::await(std::chrono::milliseconds most) {
  const Clock::time_point until = Clock::now() + most;
  while (!queries_.empty()) {
    Query& query = *queries_.front();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    pollfd end{.fd = query.process.pidFd.get(), .events = POLLIN, .revents = 0};
    const int ended = ::poll(&end, 1, std::max(0, static_cast<int>(left.count())));
    if (ended < 0 && errno == EINTR) continue;
    if (ended <= 0) return;
    query.ended.stop();
    onEnded(query);
  }
}

void QueryRunner::onEnded(Query& query) {
  const auto found = std::ranges::find(queries_, &query, &std::unique_ptr<Query>::get);
  std::unique_ptr<Query> ended = std::move(*found);
  queries_.erase(found);
  auto answer = answerOf(ended->process, ended->answer.get(), settings_.process);
  const Done done = std::move(ended->done);
  ended.reset();  // it may start workers, which inherit what is open
  if (done) done(std::move(answer));
}

void QueryRunner::closeInChild() {
  for (const auto& query : queries_) {
    ::close(query->process.pidFd.get());
    ::close(query->answer.get());
  }
}

Result<std::string> runAndWait(const QueryRunner::Work& body, const std::string& process,
                               int kept) {
  const UniqueFd answer(::memfd_create("answer", MFD_CLOEXEC));
  if (!answer) return errnoError("make a memory file", errno);
  const auto forked =
      forkProcess([&] { return work(body, answer.get(), kept, std::chrono::seconds(0)); });
  if (!forked) return forked.error();
  pollfd end{forked->pidFd.get(), POLLIN, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
  return answerOf(*forked, answer.get(), process);
}

}  // namespace egalaxyd
