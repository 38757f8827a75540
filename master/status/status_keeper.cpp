#include "master/status/status_keeper.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/unique_fd.h"
#include "common/base/write_all.h"
#include "common/shared/worker_channel.h"
#include "master/status/status_process.h"

namespace egalaxyd {
namespace {

constexpr Clock::duration kFirstStatusPause = std::chrono::milliseconds(100);
constexpr Clock::duration kLongestStatusPause = std::chrono::seconds(30);
/// A process that lived that long was well.
constexpr Clock::duration kHealthy = std::chrono::minutes(1);
/// Looks, a second apart, without a question.
constexpr unsigned kMostSilentLooks = 15;
/// Nobody who asks every kStatusInterval asks so soon again.
constexpr Clock::duration kTooSoon = kStatusInterval / 4;
/// Milliseconds for a process that leaves to be gone when the master goes.
constexpr int kLastStatusWait = 100;

Result<UniqueFd> fileWith(const std::string& text) {
  UniqueFd file(::memfd_create("figures", MFD_CLOEXEC));
  if (!file) return errnoError("make a memory file", errno);
  if (const int failed = writeAll(file.get(), text); failed != 0) {
    return errnoError("write the figures", failed);
  }
  return file;
}

}  // namespace

bool StatusPlan::isLike(const StatusPlan& other) const {
  const bool sameAccount =
      account.has_value() == other.account.has_value() &&
      (!account || (account->uid == other.account->uid && account->gid == other.account->gid));
  return sockets == other.sockets && token == other.token && sandbox == other.sandbox &&
         sameAccount;
}

struct StatusKeeper::Process {
  Process(StatusKeeper& keeper, ForkedProcess forked, WorkerChannel mine)
      : process(std::move(forked)),
        channel(std::move(mine)),
        ended(keeper.loop_,
              [this, &keeper](IoEvents) {
                ended.stop();
                keeper.loop_.defer([this, &keeper] { keeper.onEnded(*this); });
              }),
        spoke(keeper.loop_, [this, &keeper](IoEvents) { keeper.onSpoke(*this); }) {}

  ForkedProcess process;
  WorkerChannel channel;
  Clock::time_point since = Clock::now();
  Clock::time_point lastQuestion{};
  unsigned silentLooks = 0;
  std::string fault;  ///< why it was killed, or what it said before it left
  Watch ended;
  Watch spoke;
};

StatusKeeper::StatusKeeper(EventLoop& loop, const SharedState& shared,
                           std::function<std::string()> figures)
    : loop_(loop),
      shared_(shared),
      figures_(std::move(figures)),
      pause_(kFirstStatusPause),
      retry_(loop, [this] { start(); }) {}

StatusKeeper::~StatusKeeper() {
  stop();
  for (const auto& process : leaving_) {
    killProcess(process->process);
    pollfd ended{process->process.pidFd.get(), POLLIN, 0};
    ::poll(&ended, 1, kLastStatusWait);
    ::waitpid(process->process.pid, nullptr, WNOHANG);
  }
}

void StatusKeeper::serve(StatusPlan plan) {
  const bool same = plan_.isLike(plan);
  plan_ = std::move(plan);
  if (same && (current_ || retry_.active() || plan_.sockets.empty())) return;
  pause_ = kFirstStatusPause;
  leave();
  start();
}

void StatusKeeper::stop() {
  plan_ = {};
  leave();
}

/// It sees that the channel is closed, and ends.
void StatusKeeper::leave() {
  retry_.cancel();
  if (!current_) return;
  current_->spoke.stop();
  current_->channel = WorkerChannel();
  current_->silentLooks = 0;
  leaving_.push_back(std::move(current_));
}

void StatusKeeper::start() {
  if (plan_.sockets.empty()) return;
  auto ends = messageSocketPair();
  if (!ends) return tryLater(ends.error().message);
  WorkerChannel mine(std::move(ends->first));
  StatusSetup setup{
      {},           WorkerChannel(std::move(ends->second)), &shared_, plan_.token, plan_.account,
      plan_.sandbox};
  for (const auto& socket : plan_.sockets) setup.listeners.push_back(socket->get());
  auto forked = forkProcess([&] { return runStatusProcess(std::move(setup)); });
  if (!forked) return tryLater(forked.error().message);
  auto process = std::make_unique<Process>(*this, std::move(*forked), std::move(mine));
  auto watched = process->ended.start(process->process.pidFd.get(), WatchMode::kRead);
  if (watched) watched = process->spoke.start(process->channel.fd(), WatchMode::kRead);
  if (!watched) {
    process->ended.stop();
    killProcess(process->process);
    ::waitpid(process->process.pid, nullptr, 0);
    return tryLater(watched.error().message);
  }
  current_ = std::move(process);
}

void StatusKeeper::tryLater(const std::string& why) {
  spdlog::warn("the status page is away: {}; tried again in {:.1f} s", why,
               std::chrono::duration<double>(pause_).count());
  retry_.setAfter(pause_);
  pause_ = std::min(2 * pause_, kLongestStatusPause);
}

/// One message at a time: a process that floods its channel is killed at the second question.
void StatusKeeper::onSpoke(Process& process) {
  using Kind = WorkerChannel::Received::Kind;
  const auto received = process.channel.receive();
  if (received.kind == Kind::kNothing) return;
  if (received.kind == Kind::kMessage && received.message == ChannelMessage::kFigures) {
    return onQuestion(process);
  }
  process.spoke.stop();
  if (received.kind == Kind::kPeerGone) return;  // its end is told next
  const bool refused =
      received.kind == Kind::kMessage && received.message == ChannelMessage::kRefused;
  process.fault = refused ? received.text : "it sent an invalid message";
  if (!refused) killProcess(process.process);
}

void StatusKeeper::onQuestion(Process& process) {
  const Clock::time_point now = Clock::now();
  if (process.lastQuestion != Clock::time_point() && now - process.lastQuestion < kTooSoon) {
    process.spoke.stop();
    process.fault = "it asks too often: it may have been taken over";
    return killProcess(process.process);
  }
  process.lastQuestion = now;
  process.silentLooks = 0;
  const auto file = fileWith(figures_());
  // One that gets no answer asks no more, and is replaced for its silence.
  if (file) static_cast<void>(process.channel.send(ChannelMessage::kFigures, {}, file->get()));
}

void StatusKeeper::look() {
  if (current_ && ++current_->silentLooks == kMostSilentLooks) {
    current_->fault = fmt::format("it has not moved for {} s", kMostSilentLooks);
    killProcess(current_->process);
  }
  for (const auto& process : leaving_) {
    if (++process->silentLooks == 2) killProcess(process->process);
  }
}

void StatusKeeper::onEnded(Process& process) {
  if (const auto left = std::ranges::find(leaving_, &process, &std::unique_ptr<Process>::get);
      left != leaving_.end()) {
    collectProcess(process.process);
    leaving_.erase(left);
    return;
  }
  onSpoke(process);  // why it left may still be unread
  const std::string how = endInWords(collectProcess(process.process));
  const std::string why = process.fault.empty() ? how : how + ": " + process.fault;
  if (Clock::now() - process.since >= kHealthy) pause_ = kFirstStatusPause;
  current_.reset();
  tryLater("its process " + why);
}

pid_t StatusKeeper::pid() const { return current_ ? current_->process.pid : 0; }

void StatusKeeper::closeInChild() {
  if (current_) leaving_.push_back(std::move(current_));
  for (const auto& process : leaving_) {
    ::close(process->process.pidFd.get());
    if (process->channel.fd() >= 0) ::close(process->channel.fd());
  }
}

}  // namespace egalaxyd
