#include "worker/dynamic/launcher_link.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

/// A launcher's messages to a worker are short.
constexpr std::size_t kLongestAnswer = 4096;
constexpr std::size_t kMostFiles = 2;
/// Answers that are taken before other descriptors have their turn.
constexpr int kAnswersInARow = 64;
/// Of questions that wait for a launcher that is slow or stopped: a hundred of the longest. Clients
/// who ask and leave would add to them without end.
constexpr std::size_t kMostUnsent = 4 << 20;

struct FilesRoom {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFiles)> bytes{};
};

std::vector<UniqueFd> filesOf(msghdr& message) {
  std::vector<UniqueFd> files;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
    return files;
  }
  std::array<int, kMostFiles> numbers{};
  const std::size_t bytes = std::min(header->cmsg_len - CMSG_LEN(0), sizeof numbers);
  std::memcpy(numbers.data(), CMSG_DATA(header), bytes);
  for (std::size_t i = 0; i < bytes / sizeof(int); ++i) files.emplace_back(numbers[i]);
  return files;
}

Error noLauncher() {
  return {ErrorCode::kNoSpace, "the launcher, which runs scripts and calls applications, is away"};
}
Error deafLauncher() {
  return {
      ErrorCode::kBusy,
      "the launcher, which runs scripts and calls applications, does not take what it is asked"};
}

}  // namespace

ErrorCode errorOf(WhyNot why) {
  switch (why) {
    case WhyNot::kFull:
    case WhyNot::kTooLong:
      return ErrorCode::kBusy;
    case WhyNot::kGone:
      return ErrorCode::kNotFound;
    case WhyNot::kCannotRun:
      return ErrorCode::kPermission;
    case WhyNot::kNoResource:
      return ErrorCode::kNoSpace;
    case WhyNot::kNoAnswer:
      break;
  }
  return ErrorCode::kIo;
}

LauncherLink::LauncherLink(EventLoop& loop, WorkerSlot& counters)
    : loop_(loop), counters_(counters), watch_(loop, [this](IoEvents events) {
        if (events.writable) flush();
        if (events.readable) receiveSome();
      }) {}

LauncherLink::~LauncherLink() { *alive_ = false; }

void LauncherLink::connect(UniqueFd channel) {
  lose();
  channel_ = std::move(channel);
  if (!channel_) return;
  if (auto watched = watch_.start(channel_.get(), WatchMode::kEdge); !watched) {
    spdlog::error("cannot talk to the launcher: {}", watched.error().message);
    channel_ = UniqueFd();
  }
}

Async<Result<LauncherLink::Script>> LauncherLink::run(RunScript order, std::string name) {
  return async<Result<Script>>(
      [this, order = std::move(order), name = std::move(name)](GotScript done) mutable {
        const std::uint32_t run = order.run;
        if (unsentBytes_ > kMostUnsent) return done(deafLauncher());
        if (!send(order)) return done(noLauncher());
        counters_.add(Gauge::kScriptsQueued, 1);
        waiting_[run] = Waiting{std::move(name), std::move(done), {}};
      });
}

Async<Result<UniqueFd>> LauncherLink::dial(DialUpstream order) {
  return async<Result<UniqueFd>>([this, order](GotSocket done) {
    if (unsentBytes_ > kMostUnsent) return done(deafLauncher());
    if (!send(order)) return done(noLauncher());
    waiting_[order.run] = Waiting{{}, {}, std::move(done)};
  });
}

/// The task that waits goes on later: this is called while its request ends.
void LauncherLink::stop(std::uint32_t run) {
  static_cast<void>(send(StopScript{run}));
  if (waiting_.find(run) == waiting_.end()) return;
  loop_.defer([this, run, alive = alive_] {
    if (*alive) answer(run, Cancellation::error());
  });
}

void LauncherLink::stopAll() {
  for (const auto& [run, process] : running_) static_cast<void>(send(StopScript{run}));
}

/// A launcher that is slow gets it later: a StopScript that is lost would leave a script to itself.
bool LauncherLink::send(const WorkerAsks& question) {
  if (!channel_) return false;
  unsent_.push_back(encode(question));
  unsentBytes_ += unsent_.back().size();
  flush();
  return true;
}

void LauncherLink::flush() {
  while (!unsent_.empty()) {
    const std::string& next = unsent_.front();
    const ssize_t sent =
        ::send(channel_.get(), next.data(), next.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return watch_.wantRoom();
    unsentBytes_ -= next.size();
    unsent_.pop_front();  // sent, or nobody reads it: then the channel ends
  }
}

void LauncherLink::receiveSome() {
  for (int taken = 0; taken < kAnswersInARow; ++taken) {
    if (!receive()) return;
  }
  loop_.defer([this, alive = alive_] {
    if (*alive && channel_) receiveSome();
  });
}

/// Takes one answer; false when there is none now.
bool LauncherLink::receive() {
  std::array<char, kLongestAnswer> packet;
  FilesRoom room;
  iovec part{packet.data(), packet.size()};
  msghdr in{};
  in.msg_iov = &part;
  in.msg_iovlen = 1;
  in.msg_control = room.bytes.data();
  in.msg_controllen = room.bytes.size();
  const ssize_t got = ::recvmsg(channel_.get(), &in, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EAGAIN) return false;
  if (got < 0 && errno == EINTR) return true;
  std::vector<UniqueFd> files = got > 0 ? filesOf(in) : std::vector<UniqueFd>();
  const auto message = got > 0
                           ? decodeLauncherAnswers({packet.data(), static_cast<std::size_t>(got)})
                           : std::nullopt;
  if (message && files.size() < filesWith(*message) && (in.msg_flags & MSG_CTRUNC) != 0) {
    refuse(*message);
    return true;
  }
  if (!message || files.size() != filesWith(*message)) {
    if (got > 0) spdlog::error("the launcher says what no launcher says; it is not heard any more");
    lose();
    return false;
  }
  onAnswer(*message, std::move(files));
  return static_cast<bool>(channel_);
}

/// Its descriptors found no room in this process.
void LauncherLink::refuse(const LauncherAnswers& message) {
  const auto* started = std::get_if<ScriptStarted>(&message);
  const std::uint32_t run = started == nullptr ? std::get<Dialled>(message).run : started->run;
  if (started != nullptr) static_cast<void>(send(StopScript{run}));
  answer(run, {ErrorCode::kNoSpace, "the worker has no descriptor left (LimitNOFILE)"});
}

void LauncherLink::onAnswer(const LauncherAnswers& message, std::vector<UniqueFd> files) {
  if (const auto* started = std::get_if<ScriptStarted>(&message)) {
    return onStarted(*started, std::move(files));
  }
  if (const auto* ended = std::get_if<ScriptEnded>(&message)) return onEnded(*ended);
  if (const auto* dialled = std::get_if<Dialled>(&message)) {
    auto waiting = takeWaiting(dialled->run);
    if (waiting && waiting->socket) waiting->socket(std::move(files.front()));
    return;
  }
  const auto& failed = std::get<NotStarted>(message);
  answer(failed.run, {errorOf(failed.why), failed.text});
}

void LauncherLink::onStarted(const ScriptStarted& started, std::vector<UniqueFd> files) {
  auto waiting = takeWaiting(started.run);
  if (!waiting || !waiting->script) return;  // it was told to stop
  counters_.add(Counter::kScriptsStarted);
  counters_.add(Gauge::kScriptsRunning, 1);
  auto process = std::make_shared<ScriptRun>();
  process->name = fmt::format("{}[{}]", waiting->name, started.pid);
  process->errors = std::make_unique<ScriptErrorPipe>(loop_, std::move(files[1]), process->name);
  running_[started.run] = process;
  waiting->script(Script{started.run, std::move(process), std::move(files[0])});
}

void LauncherLink::onEnded(const ScriptEnded& ended) {
  const auto found = running_.find(ended.run);
  if (found == running_.end()) return;
  const std::shared_ptr<ScriptRun> process = std::move(found->second);
  running_.erase(found);
  counters_.add(Gauge::kScriptsRunning, -1);
  if (ended.stopped) counters_.add(Counter::kScriptsKilled);
  process->errors->read();
  process->ended = ended;
  if (process->onEnded) process->onEnded();
}

std::optional<LauncherLink::Waiting> LauncherLink::takeWaiting(std::uint32_t run) {
  const auto found = waiting_.find(run);
  if (found == waiting_.end()) return std::nullopt;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  if (waiting.script) counters_.add(Gauge::kScriptsQueued, -1);
  return waiting;
}

void LauncherLink::answer(std::uint32_t run, const Error& error) {
  auto waiting = takeWaiting(run);
  if (!waiting) return;
  if (waiting->script) waiting->script(error);
  if (waiting->socket) waiting->socket(error);
}

/// The launcher has ended, and what it ran with it.
void LauncherLink::lose() {
  watch_.stop();
  channel_ = UniqueFd();
  unsent_.clear();
  unsentBytes_ = 0;
  while (!running_.empty()) {
    onEnded({.run = running_.begin()->first,
             .exitCode = 0,
             .signal = SIGKILL,
             .cpuMs = 0,
             .stopped = true});
  }
  while (!waiting_.empty()) answer(waiting_.begin()->first, noLauncher());
}

}  // namespace egalaxyd
