#include "master/launcher/launcher_session.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/path.h"
#include "master/launcher/ask_check.h"
#include "master/launcher/hidden_folders.h"
#include "master/launcher/home_socket.h"

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;

constexpr off_t kMostPlanBytes = 64 * 1024 * 1024;
/// The worker closes the pipe first: most scripts end by SIGPIPE.
constexpr milliseconds kGrace{500};
constexpr std::size_t kMostDials = 1024;  // of one worker
constexpr std::size_t kMostListed = 256;
/// A list of them fits into a packet.
constexpr std::size_t kMostListedText = 48;
constexpr std::size_t kMostAnswerText = 1024;

std::optional<LauncherPlan> readPlan(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || status.st_size > kMostPlanBytes) return std::nullopt;
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  const ssize_t got = ::pread(file, bytes.data(), bytes.size(), 0);
  if (got != status.st_size) return std::nullopt;
  return decodeLauncherPlan(bytes);
}

WhyNot whyNoSocket(ErrorCode code) {
  if (code == ErrorCode::kNotFound) return WhyNot::kGone;
  return code == ErrorCode::kBusy ? WhyNot::kFull : WhyNot::kNoAnswer;
}

/// A character that is cut is shown as one that is none.
std::string brief(const std::string& text) {
  return printable(printable(text).substr(0, kMostListedText));
}

}  // namespace

LauncherSession::LauncherSession(EventLoop& loop, ScriptProcesses& processes,
                                 const OwnAccount& account, UniqueFd master,
                                 std::function<void()> over)
    : loop_(loop),
      processes_(processes),
      account_(account),
      over_(std::move(over)),
      master_(loop, std::move(master), PacketSocket::Files::kTake,
              {.packet = [this](auto packet, auto files) { onMaster(packet, std::move(files)); },
               .ended = [this](const auto&) { finish(); }}),
      late_(loop, [this] { onLate(); }),
      tidy_(loop, [this] { tidy(); }) {
  master_.start();
}

// --- the master -----------------------------------------------------------------------------

void LauncherSession::onMaster(std::string_view packet, std::vector<UniqueFd> files) {
  const auto message = decodeMasterSays(packet);
  const bool first = !queue_;
  if (!message || files.size() != filesWith(*message) ||
      first != std::holds_alternative<TakePlan>(*message)) {
    master_.close();
    return finish();
  }
  std::visit([&](const auto& one) { take(one, std::move(files)); }, *message);
}

void LauncherSession::take(const TakePlan&, std::vector<UniqueFd> files) {
  auto plan = readPlan(files[0].get());
  if (!plan) {
    master_.close();
    return finish();
  }
  plan_ = std::move(*plan);
  spool_ = std::move(files[1]);
  queue_.emplace(RunQueue::Limits{plan_.processes, plan_.queue, plan_.queueTimeout});
  if (!plan_.hidden.empty()) {
    // Waits for disks, but nobody else's script runs in a launcher that hides folders.
    if (auto ruleset = hideFolders(plan_.hidden)) {
      ruleset_ = std::move(*ruleset);
    } else {
      say(LauncherWarns{"scripts can read the state and the runtime folder: " +
                        ruleset.error().message});
    }
  }
  addresses_ =
      std::make_unique<UpstreamAddresses>(loop_, plan_.upstreams, [this] { onAddresses(); });
}

void LauncherSession::onAddresses() {
  say(LauncherReady{});
  for (const auto& [key, ask] : std::exchange(early_, {})) {
    const auto worker = workers_.find(key);
    if (worker != workers_.end() && !worker->second.gone) obey(key, worker->second, ask);
  }
}

void LauncherSession::take(const TakeWorker& message, std::vector<UniqueFd> files) {
  const std::uint64_t key = ++lastWorker_;
  Worker& worker = workers_[key];
  worker.id = message.worker;
  worker.socket = std::make_unique<PacketSocket>(
      loop_, std::move(files[0]), PacketSocket::Files::kRefuse,
      PacketSocket::Callbacks{
          .packet = [this, key](auto packet, auto) { onWorker(key, packet); },
          .ended = [this, key](const std::string& fault) { drop(key, fault); }});
  worker.socket->start();
}

void LauncherSession::take(const ListScripts& message, std::vector<UniqueFd>) {
  ScriptsRunning list;
  list.question = message.question;
  for (const auto& [run, job] : jobs_) {
    if (list.scripts.size() < kMostListed) list.scripts.push_back(described(run, job));
  }
  list.more = static_cast<std::uint32_t>(jobs_.size() - list.scripts.size());
  say(list);
}

RunningScript LauncherSession::described(std::uint64_t run, const Job& job) const {
  const auto age = std::chrono::duration_cast<milliseconds>(loop_.now() - job.since);
  return {.pid = job.pid,
          .mount = brief(job.mount->name),
          .script = brief(job.ask.script),
          .ageMs = static_cast<std::uint64_t>(age.count()),
          .cpuMs = static_cast<std::uint64_t>(processes_.cpuTime(run).count()),
          .client = brief(job.ask.client)};
}

void LauncherSession::take(const StopProcess& message, std::vector<UniqueFd>) {
  const auto found = std::ranges::find_if(
      jobs_, [&](const auto& entry) { return message.pid > 0 && entry.second.pid == message.pid; });
  if (found != jobs_.end()) processes_.stop(found->first, {});
  say(ScriptStopped{message.question, found != jobs_.end()});
}

void LauncherSession::take(const FinishRuns&, std::vector<UniqueFd>) { finish(); }

void LauncherSession::finish() {
  finishing_ = true;
  tidy_.setAfter({});
}

// --- workers --------------------------------------------------------------------------------

void LauncherSession::onWorker(std::uint64_t key, std::string_view packet) {
  const auto message = decodeWorkerAsks(packet);
  if (!message) return drop(key, "nonsense");
  Worker& worker = workers_.at(key);
  std::visit([&](const auto& ask) { obey(key, worker, ask); }, *message);
}

void LauncherSession::obey(std::uint64_t key, Worker& worker, const RunScript& ask) {
  const ScriptMount* mount = mountOf(plan_, ask.mount);
  if (const std::string lie = lieOf(ask, mount); !lie.empty()) return drop(key, lie);
  if (worker.runs.contains(ask.run) || worker.dials.contains(ask.run)) {
    return drop(key, "a number twice");
  }
  const std::uint64_t run = processes_.nextRun();
  worker.runs[ask.run] = run;
  jobs_[run] = {.worker = key, .ask = ask, .mount = mount, .since = loop_.now()};
  const RunQueue::Asker asker{key, ask.clientNumber};
  switch (queue_->add(run, asker, mount->number, mount->processes, loop_.now())) {
    case RunQueue::Verdict::kStart:
      return start(run);
    case RunQueue::Verdict::kWait:
      if (!late_.active()) late_.setAt(*queue_->nextLate());
      return;
    case RunQueue::Verdict::kFull:
      refuse(run, WhyNot::kFull, "too many scripts wait for a place");
      return forget(run);
  }
}

void LauncherSession::obey(std::uint64_t key, Worker& worker, const StopScript& ask) {
  if (const auto found = worker.runs.find(ask.run); found != worker.runs.end()) {
    const std::uint64_t run = found->second;
    if (jobs_.at(run).placed) return processes_.stop(run, kGrace);
    queue_->forget(run);
    refuse(run, WhyNot::kTooLong, "stopped");
    return forget(run);
  }
  if (worker.dials.contains(ask.run)) {
    onDialled(key, ask.run, Error{ErrorCode::kIo, "stopped"});
  }
}

void LauncherSession::obey(std::uint64_t key, Worker& worker, const DialUpstream& ask) {
  const UpstreamPlace* upstream = upstreamOf(plan_, ask.upstream);
  if (const std::string lie = lieOf(ask, upstream); !lie.empty()) return drop(key, lie);
  if (worker.runs.contains(ask.run) || worker.dials.contains(ask.run)) {
    return drop(key, "a number twice");
  }
  if (worker.dials.size() + early_.size() >= kMostDials) {
    return answer(key, NotStarted{ask.run, WhyNot::kFull, "too many connections are being made"});
  }
  if (!ask.user.empty()) {
    return dialOn(key, ask.run)
        .start([place = *upstream, user = ask.user] { return findHomeSocket(place, user); },
               upstream->connectTimeout);
  }
  if (addresses_->awaited(upstream->address)) {
    early_.emplace_back(key, ask);
    return;
  }
  const auto& addresses = addresses_->of(upstream->address);
  if (!addresses) {
    return answer(key,
                  NotStarted{ask.run, WhyNot::kNoAnswer,
                             "look up " + upstream->address + ": " + addresses.error().message});
  }
  dialOn(key, ask.run)
      .start({.name = upstream->address, .addresses = *addresses}, upstream->connectTimeout);
}

Dial& LauncherSession::dialOn(std::uint64_t key, std::uint32_t number) {
  auto& dial = workers_.at(key).dials[number];
  dial = std::make_unique<Dial>(loop_, [this, key, number](Result<UniqueFd> socket) {
    onDialled(key, number, std::move(socket));
  });
  return *dial;
}

void LauncherSession::onDialled(std::uint64_t key, std::uint32_t number, Result<UniqueFd> socket) {
  // The dial may be on the stack: it goes at the end of this turn.
  auto& dials = workers_.at(key).dials;
  loop_.defer([dial = std::shared_ptr<Dial>(std::move(dials.at(number)))] {});
  dials.erase(number);
  if (!socket) {
    return answer(key,
                  NotStarted{number, whyNoSocket(socket.error().code), socket.error().message});
  }
  std::vector<UniqueFd> files;
  files.push_back(std::move(*socket));
  answer(key, Dialled{number}, std::move(files));
}

/// The worker has gone, or `lie` is what it has said.
void LauncherSession::drop(std::uint64_t key, const std::string& lie) {
  Worker& worker = workers_.at(key);
  if (!lie.empty()) say(WorkerLied{worker.id, lie});
  worker.gone = true;
  worker.socket->close();
  tidy_.setAfter({});
  std::vector<std::uint64_t> waiting;
  for (const auto& [run, job] : jobs_) {
    if (job.worker != key) continue;
    if (job.placed) {
      processes_.stop(run, {});
    } else {
      waiting.push_back(run);
    }
  }
  for (const std::uint64_t run : waiting) {
    queue_->forget(run);
    forget(run);
  }
}

void LauncherSession::answer(std::uint64_t key, const LauncherAnswers& message,
                             std::vector<UniqueFd> files) {
  const auto found = workers_.find(key);
  if (found != workers_.end()) found->second.socket->send(encode(message), std::move(files));
}

void LauncherSession::refuse(std::uint64_t run, WhyNot why, const std::string& text) {
  const Job& job = jobs_.at(run);
  release(run);
  answer(job.worker, NotStarted{job.ask.run, why, printable(text).substr(0, kMostAnswerText)});
}

/// The worker may use its number again.
void LauncherSession::release(std::uint64_t run) {
  const Job& job = jobs_.at(run);
  const auto found = workers_.find(job.worker);
  if (found != workers_.end()) found->second.runs.erase(job.ask.run);
}

// --- runs -----------------------------------------------------------------------------------

void LauncherSession::start(std::uint64_t run) {
  Job& job = jobs_.at(run);
  job.placed = true;
  const auto begun = processes_.start(run,
                                      {.mount = *job.mount,
                                       .ask = job.ask,
                                       .spool = spool_.get(),
                                       .ruleset = ruleset_.get(),
                                       .hidden = plan_.hidden,
                                       .account = account_,
                                       .tag = run},
                                      *this);
  job.ask.variables = {};
  if (begun) return;
  refuse(run, WhyNot::kNoResource, begun.error().message);
  over(run);
}

void LauncherSession::startNext() {
  while (const auto run = queue_->next()) start(*run);
}

void LauncherSession::onLate() {
  for (const std::uint64_t run : queue_->late(loop_.now())) {
    refuse(run, WhyNot::kTooLong, "it waited too long for a place");
    forget(run);
  }
  if (const auto next = queue_->nextLate()) late_.setAt(*next);
}

void LauncherSession::started(std::uint64_t run, pid_t pid, UniqueFd output, UniqueFd errors) {
  Job& job = jobs_.at(run);
  job.pid = pid;
  std::vector<UniqueFd> files;
  files.push_back(std::move(output));
  files.push_back(std::move(errors));
  answer(job.worker, ScriptStarted{job.ask.run, pid}, std::move(files));
}

void LauncherSession::failed(std::uint64_t run, const StartFailure& why) {
  refuse(run, why.why, why.text);
}

void LauncherSession::ended(std::uint64_t run, const ScriptExit& exit) {
  const Job& job = jobs_.at(run);
  release(run);
  answer(job.worker, ScriptEnded{.run = job.ask.run,
                                 .exitCode = exit.exitCode,
                                 .signal = exit.signal,
                                 .cpuMs = exit.cpuMs,
                                 .stopped = exit.stopped});
}

void LauncherSession::over(std::uint64_t run) {
  queue_->giveBack(jobs_.at(run).mount->number);
  forget(run);
  startNext();
}

void LauncherSession::forget(std::uint64_t run) {
  jobs_.erase(run);
  if (finishing_) tidy_.setAfter({});
}

void LauncherSession::tidy() {
  std::erase_if(workers_, [](const auto& entry) { return entry.second.gone; });
  if (finishing_ && workers_.empty() && jobs_.empty()) over_();
}

}  // namespace egalaxyd
