#include "master/supervise/supervisor.h"

#include <spdlog/fmt/fmt.h>

#include <sysexits.h>
#include <algorithm>
#include <array>
#include <utility>

namespace egalaxyd {
namespace {

double seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view nameOf(WorkerState state) {
  constexpr std::array<std::string_view, 6> kNames{"pausing",  "starting", "ready",
                                                   "draining", "killed",   "ended"};
  return kNames[static_cast<std::size_t>(state)];
}

Actions Supervisor::start(std::uint64_t generation, std::uint32_t workers, Duration drainTimeout,
                          Time now) {
  begin(generation, workers, drainTimeout, now);
  return settle();
}

Actions Supervisor::reload(Time) {
  reloadWanted_ = !stopping();
  return settle();
}

Actions Supervisor::generationBuilt(std::uint64_t generation, std::uint32_t workers,
                                    Duration drainTimeout, Time now) {
  building_ = false;
  if (stopping()) {
    actions_.emplace_back(GenerationGone{generation});
  } else if (!hasRoom(workers)) {
    actions_.emplace_back(GenerationFailed{
        generation, fmt::format("{} more workers would be over {} processes while older ones drain",
                                workers, policy_.mostWorkers)});
    actions_.emplace_back(GenerationGone{generation});
  } else {
    begin(generation, workers, drainTimeout, now);
  }
  return settle();
}

Actions Supervisor::generationRejected(Time) {
  building_ = false;
  return settle();
}

Result<Actions> Supervisor::restartWorkers(std::optional<std::uint32_t> number, Time now) {
  const Generation* generation = generationOf(serving_);
  if (stopping() || generation == nullptr) {
    return Error{ErrorCode::kBusy, "the server is starting or stopping"};
  }
  if (number && *number >= generation->places) {
    return Error{ErrorCode::kNotFound, fmt::format("there is no worker {}: they are 0 to {}",
                                                   *number, generation->places - 1)};
  }
  if (restart_) return Error{ErrorCode::kBusy, "workers are being restarted already"};
  if (busy() || reloadWanted_) return Error{ErrorCode::kBusy, "a reload is under way"};
  if (!hasRoom(1)) {
    return Error{ErrorCode::kBusy, "too many workers drain; try again when they have left"};
  }
  restart_.emplace();
  for (std::uint32_t each = 0; each < generation->places; ++each) {
    if (!number || *number == each) restart_->waiting.push_back(each);
  }
  startSuccessor(now);
  return settle();
}

Actions Supervisor::workerReady(WorkerKey key, Time now) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state == State::kStarting) {
    worker->state = State::kReady;
    worker->deadline.reset();
    worker->wasReady = true;
    worker->readySince = now;
    Generation& generation = *generationOf(key.generation);
    if (restart_ && key == restart_->successor) {
      succeed(generation, *worker, now);
    } else {
      checkAllReady(generation, now);
    }
  }
  return settle();
}

Actions Supervisor::workerClosed(WorkerKey key, Time) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state == State::kDraining) worker->closed = true;
  return settle();
}

Actions Supervisor::workerRefused(WorkerKey key, std::string_view why, bool mayPass, Time now) {
  Worker* worker = living(key);
  if (worker == nullptr || worker->state != State::kStarting) return settle();
  Generation& generation = *generationOf(key.generation);
  const std::string text = fmt::format("{} cannot serve: {}", nameOf(*worker), why);
  if (generation.phase == Phase::kServing) {
    report(true, text);
    worker->deadline = now + policy_.channelClosedTimeout;
  } else if (serving_ != 0) {
    kill(*worker);
    fail(generation, text, now);
  } else if (mayPass) {
    report(true, text);  // its exit is one of its tries
  } else {
    giveUp(text, EX_CONFIG);
  }
  return settle();
}

Actions Supervisor::workerMisbehaved(WorkerKey key, std::string_view what, Time) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state != State::kKilled) {
    report(true, fmt::format("{} {}: killed", nameOf(*worker), what));
    kill(*worker);
  }
  return settle();
}

Actions Supervisor::workerChannelClosed(WorkerKey key, Time now) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state != State::kKilled) {
    const Time latest = now + policy_.channelClosedTimeout;
    worker->deadline = std::min(worker->deadline.value_or(latest), latest);
  }
  return settle();
}

Actions Supervisor::workerExited(WorkerKey key, const ExitCause& cause, Time now) {
  Worker* worker = living(key);
  if (worker == nullptr) return settle();
  worker->state = State::kEnded;
  worker->deadline.reset();
  Generation& generation = *generationOf(key.generation);
  const std::string text = fmt::format("{} {}", nameOf(*worker), cause.words);
  if (generation.phase == Phase::kLeaving) {
    report(!cause.clean, text + "; it was leaving");
  } else if (restart_ && key == restart_->successor) {
    report(true, text + " before it was ready");
    endRestart(text + " before it was ready");
  } else if (isExtra(generation, *worker)) {
    report(!cause.clean, text + "; its successor has taken over");
  } else if (generation.phase == Phase::kServing) {
    replace(*worker, cause, now);
  } else if (serving_ != 0) {
    report(true, text);
    fail(generation, text + " before its generation was ready", now);
  } else if (worker->quickDeaths + 1 >= policy_.firstStartTries) {
    giveUp(fmt::format("{}; {} tries failed, giving up", text, policy_.firstStartTries),
           EX_UNAVAILABLE);
  } else {
    replace(*worker, cause, now);
  }
  return settle();
}

Actions Supervisor::stop(Time now) {
  const bool again = stopping();
  if (!again) exitCode_ = EX_OK;
  reloadWanted_ = false;
  announced_ = true;
  if (restart_) endRestart("the server stops");
  for (Generation& generation : generations_) {
    if (again) {
      killAll(generation);
    } else if (generation.phase != Phase::kLeaving) {
      drain(generation, now);
    }
  }
  return settle();
}

Actions Supervisor::tick(Time now) {
  for (Generation& generation : generations_) {
    for (Worker& worker : generation.workers) {
      if (worker.deadline && *worker.deadline <= now) onDeadline(generation, worker, now);
    }
  }
  return settle();
}

std::optional<Supervisor::Time> Supervisor::nextDeadline() const {
  std::optional<Time> next;
  for (const Generation& generation : generations_) {
    for (const Worker& worker : generation.workers) {
      if (worker.deadline) next = std::min(next.value_or(*worker.deadline), *worker.deadline);
    }
  }
  return next;
}

std::size_t Supervisor::liveWorkers() const {
  std::size_t count = 0;
  for (const Generation& generation : generations_) {
    count += static_cast<std::size_t>(std::ranges::count_if(generation.workers, &alive));
  }
  return count;
}

std::vector<WorkerView> Supervisor::workers() const {
  std::vector<WorkerView> views;
  for (const Generation& generation : generations_) {
    for (const Worker& worker : generation.workers) {
      if (worker.state == State::kEnded) continue;
      views.push_back({worker.key, worker.state, worker.restarts, worker.lastCause});
    }
  }
  return views;
}

bool Supervisor::alive(const Worker& worker) {
  return worker.state != State::kPausing && worker.state != State::kEnded;
}

std::string Supervisor::nameOf(const Worker& worker) {
  return fmt::format("worker {} of generation {}", worker.key.number, worker.key.generation);
}

Supervisor::Generation* Supervisor::generationOf(std::uint64_t number) {
  const auto found = std::ranges::find(generations_, number, &Generation::number);
  return found == generations_.end() ? nullptr : &*found;
}

Supervisor::Worker* Supervisor::living(WorkerKey key) {
  Generation* generation = generationOf(key.generation);
  if (generation == nullptr) return nullptr;
  const auto found = std::ranges::find(generation->workers, key, &Worker::key);
  return found != generation->workers.end() && alive(*found) ? &*found : nullptr;
}

bool Supervisor::busy() const {
  return building_ || !announced_ || restart_ ||
         std::ranges::any_of(generations_, [](const Generation& generation) {
           return generation.phase == Phase::kStarting;
         });
}

bool Supervisor::hasRoom(std::size_t more) const {
  std::size_t places = more;
  for (const Generation& generation : generations_) {
    places += generation.phase == Phase::kLeaving
                  ? static_cast<std::size_t>(std::ranges::count_if(generation.workers, &alive))
                  : generation.workers.size();
  }
  return places <= policy_.mostWorkers;
}

std::size_t Supervisor::sizeOf(std::uint64_t generation) const {
  const auto found = std::ranges::find(generations_, generation, &Generation::number);
  return found == generations_.end() ? 0 : found->places;
}

void Supervisor::begin(std::uint64_t number, std::uint32_t workers, Duration drainTimeout,
                       Time now) {
  Generation& generation = generations_.emplace_back();
  generation.number = number;
  generation.drainTimeout = drainTimeout;
  generation.places = workers;
  generation.workers.resize(workers);
  for (std::uint32_t i = 0; i < workers; ++i) {
    generation.workers[i].key = {number, i};
    spawn(generation.workers[i], now);
  }
}

void Supervisor::spawn(Worker& worker, Time now) {
  worker.state = State::kStarting;
  worker.deadline = now + policy_.readyTimeout;
  worker.wasReady = false;
  worker.closed = false;
  actions_.emplace_back(SpawnWorker{worker.key});
}

void Supervisor::kill(Worker& worker) {
  worker.state = State::kKilled;
  worker.deadline.reset();
  actions_.emplace_back(KillWorker{worker.key});
}

void Supervisor::killAll(Generation& generation) {
  generation.phase = Phase::kLeaving;
  for (Worker& worker : generation.workers) {
    if (!alive(worker)) {
      worker.state = State::kEnded;
      worker.deadline.reset();
    } else if (worker.state != State::kKilled) {
      kill(worker);
    }
  }
}

void Supervisor::ask(const Generation& generation, Worker& worker, Time now) {
  worker.state = State::kDraining;
  worker.deadline = now + generation.drainTimeout + policy_.drainGrace;
  actions_.emplace_back(AskToDrain{worker.key});
}

void Supervisor::drain(Generation& generation, Time now) {
  generation.phase = Phase::kLeaving;
  for (Worker& worker : generation.workers) {
    if (!alive(worker)) {
      worker.state = State::kEnded;
      worker.deadline.reset();
    } else if (worker.state != State::kKilled && worker.state != State::kDraining) {
      ask(generation, worker, now);
    }
  }
}

bool Supervisor::isExtra(const Generation& generation, const Worker& worker) {
  return static_cast<std::size_t>(&worker - generation.workers.data()) >= generation.places;
}

/// For the next of those that wait; without one the restart is over.
void Supervisor::startSuccessor(Time now) {
  if (restart_->waiting.empty()) return endRestart("");
  Generation& generation = *generationOf(serving_);
  if (!hasRoom(1)) return endRestart("too many workers drain; try again when they have left");
  const Worker& old = generation.workers[restart_->waiting.front()];
  restart_->waiting.pop_front();
  Worker successor;
  successor.key = old.key;
  ++successor.key.life;
  successor.restarts = old.restarts + 1;
  successor.lastCause = "restarted on request";
  restart_->successor = successor.key;
  spawn(generation.workers.emplace_back(std::move(successor)), now);
}

/// The successor is ready and changes places with the one that has to go.
void Supervisor::succeed(Generation& generation, Worker& successor, Time now) {
  Worker& place = generation.workers[successor.key.number];
  std::swap(place, successor);
  Worker& old = successor;
  if (!alive(old)) {  // it has died and pauses
    old.state = State::kEnded;
    old.deadline.reset();
  } else if (old.state != State::kKilled) {
    ask(generation, old, now);
  }
  startSuccessor(now);
}

void Supervisor::endRestart(std::string failure) {
  restart_.reset();
  actions_.emplace_back(RestartEnded{std::move(failure)});
}

void Supervisor::giveUp(std::string why, int exitCode) {
  report(true, std::move(why));
  exitCode_ = exitCode;
  for (Generation& generation : generations_) killAll(generation);
}

/// Its workers that are ready have clients already: they drain rather than be killed.
void Supervisor::fail(Generation& generation, std::string why, Time now) {
  drain(generation, now);
  actions_.emplace_back(GenerationFailed{generation.number, std::move(why)});
}

void Supervisor::replace(Worker& worker, const ExitCause& cause, Time now) {
  const std::string text = fmt::format("{} {}", nameOf(worker), cause.words);
  const auto served = now - worker.readySince;
  ++worker.restarts;
  worker.lastCause = cause.words;
  if (worker.wasReady && served >= policy_.healthy) worker.quickDeaths = 0;
  if (worker.wasReady && served > policy_.quickDeath) {
    report(true, text + "; replaced at once");
    spawn(worker, now);
    return;
  }
  Duration pause = policy_.firstPause;
  for (unsigned i = 0; i < worker.quickDeaths && pause < policy_.longestPause; ++i) pause *= 2;
  pause = std::min(pause, policy_.longestPause);
  ++worker.quickDeaths;
  worker.state = State::kPausing;
  worker.deadline = now + pause;
  report(true, fmt::format("{}; replaced in {} s", text, seconds(pause)));
}

void Supervisor::checkAllReady(Generation& generation, Time now) {
  const bool all = std::ranges::all_of(
      generation.workers, [](const Worker& worker) { return worker.state == State::kReady; });
  if (generation.phase != Phase::kStarting || !all) return;
  generation.phase = Phase::kServing;
  serving_ = generation.number;
  announced_ = false;
  for (Generation& old : generations_) {
    if (old.number != serving_ && old.phase == Phase::kServing) drain(old, now);
  }
}

void Supervisor::onDeadline(Generation& generation, Worker& worker, Time now) {
  worker.deadline.reset();
  switch (worker.state) {
    case State::kPausing:
      spawn(worker, now);
      return;
    case State::kStarting:
      if (generation.phase == Phase::kStarting && serving_ != 0) {
        kill(worker);
        fail(generation,
             fmt::format("{} was not ready within {} s", nameOf(worker),
                         seconds(policy_.readyTimeout)),
             now);
      } else {
        report(true, nameOf(worker) + " did not get ready in time: killed");
        kill(worker);
      }
      return;
    case State::kReady:
      report(true, nameOf(worker) + " closed its channel and stayed: killed");
      kill(worker);
      return;
    case State::kDraining:
      report(true, nameOf(worker) + " did not leave in time: killed");
      kill(worker);
      return;
    case State::kKilled:
    case State::kEnded:
      return;
  }
}

void Supervisor::report(bool problem, std::string text) {
  actions_.emplace_back(Report{problem, std::move(text)});
}

void Supervisor::announce() {
  const auto mayAccept = [](const Worker& worker) {
    return worker.state == State::kDraining && !worker.closed;
  };
  for (const Generation& generation : generations_) {
    if (generation.phase == Phase::kLeaving && std::ranges::any_of(generation.workers, mayAccept)) {
      return;
    }
  }
  announced_ = true;
  actions_.emplace_back(GenerationServes{serving_});
}

Actions Supervisor::settle() {
  for (Generation& generation : generations_) {
    const auto places = generation.workers.begin() + static_cast<std::ptrdiff_t>(generation.places);
    generation.workers.erase(
        std::remove_if(places, generation.workers.end(),
                       [](const Worker& worker) { return worker.state == State::kEnded; }),
        generation.workers.end());
  }
  if (!announced_) announce();
  std::erase_if(generations_, [this](const Generation& generation) {
    if (generation.phase != Phase::kLeaving) return false;
    if (std::ranges::any_of(generation.workers, &alive)) return false;
    actions_.emplace_back(GenerationGone{generation.number});
    return true;
  });
  if (stopping()) {
    if (generations_.empty() && !left_) actions_.emplace_back(Leave{*exitCode_});
    left_ = generations_.empty();
  } else if (reloadWanted_ && !busy() && serving_ != 0 && hasRoom(sizeOf(serving_))) {
    reloadWanted_ = false;
    building_ = true;
    actions_.emplace_back(BuildGeneration{});
  }
  return std::exchange(actions_, {});
}

}  // namespace egalaxyd
