#include "master/supervisor.h"

#include <spdlog/fmt/fmt.h>

#include <sysexits.h>
#include <algorithm>
#include <utility>

namespace egalaxyd {
namespace {

double seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

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

Actions Supervisor::workerReady(WorkerKey key, Time now) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state == State::kStarting) {
    worker->state = State::kReady;
    worker->deadline.reset();
    worker->wasReady = true;
    worker->readySince = now;
    checkAllReady(*generationOf(key.generation), now);
  }
  return settle();
}

Actions Supervisor::workerRefused(WorkerKey key, std::string_view why, Time now) {
  Worker* worker = living(key);
  if (worker == nullptr || worker->state != State::kStarting) return settle();
  Generation& generation = *generationOf(key.generation);
  const std::string text = fmt::format("{} cannot serve: {}", nameOf(*worker), why);
  if (generation.phase == Phase::kServing) {
    report(true, text);
    worker->deadline = now + policy_.mutedLid;
  } else if (serving_ == 0) {
    giveUp(text);
  } else {
    fail(generation, text);
  }
  return settle();
}

Actions Supervisor::workerMisbehaved(WorkerKey key, Time) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state != State::kKilled) {
    report(true, nameOf(*worker) + " sent what no worker sends: killed");
    kill(*worker);
  }
  return settle();
}

Actions Supervisor::workerMuted(WorkerKey key, Time now) {
  Worker* worker = living(key);
  if (worker != nullptr && worker->state != State::kKilled) {
    const Time lid = now + policy_.mutedLid;
    worker->deadline = std::min(worker->deadline.value_or(lid), lid);
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
  } else if (generation.phase == Phase::kServing) {
    replace(*worker, cause, now);
  } else if (serving_ != 0) {
    report(true, text);
    fail(generation, text + " before its generation was ready");
  } else if (worker->quickDeaths + 1 >= policy_.firstStartTries) {
    giveUp(fmt::format("{}; {} tries failed, giving up", text, policy_.firstStartTries));
  } else {
    replace(*worker, cause, now);
  }
  return settle();
}

Actions Supervisor::stop(Time now) {
  const bool again = stopping();
  if (!again) exitCode_ = EX_OK;
  reloadWanted_ = false;
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
  if (generation == nullptr || key.number >= generation->workers.size()) return nullptr;
  Worker& worker = generation->workers[key.number];
  return alive(worker) ? &worker : nullptr;
}

bool Supervisor::busy() const {
  return building_ || std::ranges::any_of(generations_, [](const Generation& generation) {
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
  return found == generations_.end() ? 0 : found->workers.size();
}

void Supervisor::begin(std::uint64_t number, std::uint32_t workers, Duration drainTimeout,
                       Time now) {
  Generation& generation = generations_.emplace_back();
  generation.number = number;
  generation.drainTimeout = drainTimeout;
  generation.workers.resize(workers);
  for (std::uint32_t i = 0; i < workers; ++i) {
    generation.workers[i].key = {number, i};
    spawn(generation.workers[i], now);
  }
}

void Supervisor::spawn(Worker& worker, Time now) {
  worker.state = State::kStarting;
  worker.deadline = now + policy_.readyLid;
  worker.wasReady = false;
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

void Supervisor::drain(Generation& generation, Time now) {
  generation.phase = Phase::kLeaving;
  for (Worker& worker : generation.workers) {
    if (!alive(worker)) {
      worker.state = State::kEnded;
      worker.deadline.reset();
    } else if (worker.state != State::kKilled) {
      worker.state = State::kDraining;
      worker.deadline = now + generation.drainTimeout + policy_.drainGrace;
      actions_.emplace_back(AskToDrain{worker.key});
    }
  }
}

void Supervisor::giveUp(std::string why) {
  report(true, std::move(why));
  exitCode_ = EX_CONFIG;
  for (Generation& generation : generations_) killAll(generation);
}

void Supervisor::fail(Generation& generation, std::string why) {
  killAll(generation);
  actions_.emplace_back(GenerationFailed{generation.number, std::move(why)});
}

void Supervisor::replace(Worker& worker, const ExitCause& cause, Time now) {
  const std::string text = fmt::format("{} {}", nameOf(worker), cause.words);
  const auto served = now - worker.readySince;
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
  actions_.emplace_back(GenerationServes{generation.number});
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
        fail(generation, fmt::format("{} was not ready within {} s", nameOf(worker),
                                     seconds(policy_.readyLid)));
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

Actions Supervisor::settle() {
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
