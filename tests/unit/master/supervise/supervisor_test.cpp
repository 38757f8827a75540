#include "master/supervise/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;

constexpr auto kDrain = 5s;

/// "spawn 1/0", "spawn 1/0'" for its successor, "drain 1/0", "build", "serves 1", "leave 0": one
/// word and its object per action.
struct Namer {
  static std::string of(WorkerKey key) {
    return std::to_string(key.generation) + "/" + std::to_string(key.number) +
           std::string(key.life, '\'');
  }
  std::string operator()(const SpawnWorker& a) { return "spawn " + of(a.worker); }
  std::string operator()(const AskToDrain& a) { return "drain " + of(a.worker); }
  std::string operator()(const KillWorker& a) { return "kill " + of(a.worker); }
  std::string operator()(const BuildGeneration&) { return "build"; }
  std::string operator()(const GenerationServes& a) {
    return "serves " + std::to_string(a.generation);
  }
  std::string operator()(const GenerationFailed& a) {
    return "failed " + std::to_string(a.generation);
  }
  std::string operator()(const GenerationGone& a) { return "gone " + std::to_string(a.generation); }
  std::string operator()(const RestartEnded& a) {
    return a.failure.empty() ? "restarted" : "restart failed";
  }
  std::string operator()(const Report&) { return "report"; }
  std::string operator()(const Leave& a) { return "leave " + std::to_string(a.exitCode); }
};

/// Drives a Supervisor on a clock of its own; each verb returns the actions by name, reports left
/// out.
class SupervisorTest : public testing::Test {
 protected:
  using Names = std::vector<std::string>;

  Names start(std::uint32_t workers) { return names(supervisor_.start(1, workers, kDrain, now_)); }
  Names ready(std::uint64_t generation, std::uint32_t number, std::uint32_t life = 0) {
    return names(supervisor_.workerReady({generation, number, life}, now_));
  }
  Names closes(std::uint64_t generation, std::uint32_t number, std::uint32_t life = 0) {
    return names(supervisor_.workerClosed({generation, number, life}, now_));
  }
  Names dies(std::uint64_t generation, std::uint32_t number, bool clean = false,
             std::uint32_t life = 0) {
    return names(supervisor_.workerExited({generation, number, life}, {clean, "died"}, now_));
  }
  Names restarts(std::optional<std::uint32_t> number) {
    auto actions = supervisor_.restartWorkers(number, now_);
    return actions ? names(*actions) : Names{"error: " + actions.error().message};
  }
  Names refuses(std::uint64_t generation, std::uint32_t number) {
    return names(supervisor_.workerRefused({generation, number}, "no", false, now_));
  }
  Names isHindered(std::uint64_t generation, std::uint32_t number) {
    return names(supervisor_.workerRefused({generation, number}, "not now", true, now_));
  }
  Names reload() { return names(supervisor_.reload(now_)); }
  Names built(std::uint64_t generation, std::uint32_t workers) {
    return names(supervisor_.generationBuilt(generation, workers, kDrain, now_));
  }
  Names stop() { return names(supervisor_.stop(now_)); }
  Names after(Clock::duration time) {
    now_ += time;
    return names(supervisor_.tick(now_));
  }
  void serveWithTwoWorkers() {
    start(2);
    ready(1, 0);
    ready(1, 1);
  }
  static Names names(const Actions& actions) {
    Names names;
    for (const Action& action : actions) {
      if (!std::holds_alternative<Report>(action)) names.push_back(std::visit(Namer{}, action));
    }
    return names;
  }

  Supervisor supervisor_;
  Clock::time_point now_ = Clock::time_point() + 1h;
};

TEST_F(SupervisorTest, SpawnsEveryWorkerAtTheStart) {
  EXPECT_EQ(start(3), (Names{"spawn 1/0", "spawn 1/1", "spawn 1/2"}));
}

TEST_F(SupervisorTest, ServesOnceAllAreReady) {
  start(2);
  EXPECT_THAT(ready(1, 1), IsEmpty());
  EXPECT_EQ(ready(1, 0), (Names{"serves 1"}));
}

TEST_F(SupervisorTest, ReplacesAHealthyWorkerAtOnce) {
  serveWithTwoWorkers();
  after(2s);
  EXPECT_EQ(dies(1, 1), (Names{"spawn 1/1"}));
}

TEST_F(SupervisorTest, PausesLongerAfterEachQuickDeathUpToALimit) {
  serveWithTwoWorkers();
  auto pause = 100ms;
  for (int i = 0; i < 12; ++i) {
    EXPECT_THAT(dies(1, 0), IsEmpty());
    EXPECT_THAT(after(pause - 1ms), IsEmpty()) << i;
    EXPECT_EQ(after(1ms), (Names{"spawn 1/0"})) << i;
    pause = std::min<std::chrono::milliseconds>(pause * 2, 30s);
  }
}

TEST_F(SupervisorTest, ForgetsQuickDeathsAfterAMinuteOfHealth) {
  serveWithTwoWorkers();
  for (int i = 0; i < 5; ++i) {
    dies(1, 0);
    after(31s);
  }
  ready(1, 0);
  after(59s);
  EXPECT_EQ(dies(1, 0), (Names{"spawn 1/0"}));
  dies(1, 0);
  EXPECT_THAT(after(3s), IsEmpty());  // the sixth in a row: 3.2 s
  EXPECT_EQ(after(200ms), (Names{"spawn 1/0"}));
  ready(1, 0);
  after(60s);
  EXPECT_EQ(dies(1, 0), (Names{"spawn 1/0"}));
  dies(1, 0);
  EXPECT_EQ(after(100ms), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, CountsADeathWithinASecondOfReadyAsQuick) {
  serveWithTwoWorkers();
  after(1s);
  EXPECT_THAT(dies(1, 0), IsEmpty());
  EXPECT_EQ(after(100ms), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, GivesUpWhenAWorkerFailsItsFirstStartThreeTimes) {
  start(2);
  ready(1, 1);
  dies(1, 0);
  EXPECT_EQ(after(100ms), (Names{"spawn 1/0"}));
  dies(1, 0);
  EXPECT_EQ(after(200ms), (Names{"spawn 1/0"}));
  EXPECT_EQ(dies(1, 0), (Names{"kill 1/1"}));
  EXPECT_EQ(dies(1, 1), (Names{"gone 1", "leave 69"}));
}

TEST_F(SupervisorTest, TriesAgainWhenAWorkerIsHinderedAtTheFirstStart) {
  start(1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(isHindered(1, 0), IsEmpty());
    EXPECT_THAT(dies(1, 0), IsEmpty());
    EXPECT_EQ(after(200ms), (Names{"spawn 1/0"}));
  }
  EXPECT_THAT(isHindered(1, 0), IsEmpty());
  EXPECT_EQ(dies(1, 0), (Names{"gone 1", "leave 69"}));
}

TEST_F(SupervisorTest, GivesUpAtOnceWhenAWorkerRefusesTheFirstStart) {
  start(2);
  EXPECT_EQ(refuses(1, 1), (Names{"kill 1/0", "kill 1/1"}));
  EXPECT_THAT(dies(1, 1), IsEmpty());
  EXPECT_EQ(dies(1, 0), (Names{"gone 1", "leave 78"}));
}

TEST_F(SupervisorTest, KillsAWorkerThatDoesNotGetReady) {
  start(1);
  EXPECT_THAT(after(9'999ms), IsEmpty());
  EXPECT_EQ(after(1ms), (Names{"kill 1/0"}));
  dies(1, 0);
  EXPECT_EQ(after(100ms), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, TreatsARefusalAfterTheStartAsAQuickDeath) {
  serveWithTwoWorkers();
  after(5s);
  dies(1, 0);
  EXPECT_THAT(refuses(1, 0), IsEmpty());
  EXPECT_THAT(dies(1, 0), IsEmpty());
  EXPECT_EQ(after(100ms), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, KillsAWorkerThatTalksNonsenseAndReplacesIt) {
  serveWithTwoWorkers();
  after(5s);
  EXPECT_EQ(names(supervisor_.workerMisbehaved({1, 0}, "lies", now_)), (Names{"kill 1/0"}));
  EXPECT_THAT(names(supervisor_.workerMisbehaved({1, 0}, "lies", now_)), IsEmpty());
  EXPECT_EQ(dies(1, 0), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, KillsAWorkerThatClosedItsChannelAndStays) {
  serveWithTwoWorkers();
  after(5s);
  EXPECT_THAT(names(supervisor_.workerChannelClosed({1, 0}, now_)), IsEmpty());
  EXPECT_THAT(after(1'999ms), IsEmpty());
  EXPECT_EQ(after(1ms), (Names{"kill 1/0"}));
}

TEST_F(SupervisorTest, DrainsTheOldGenerationOnceTheNewOneIsReady) {
  serveWithTwoWorkers();
  EXPECT_EQ(reload(), (Names{"build"}));
  EXPECT_EQ(built(2, 1), (Names{"spawn 2/0"}));
  EXPECT_EQ(ready(2, 0), (Names{"drain 1/0", "drain 1/1"}));
  EXPECT_THAT(closes(1, 0), IsEmpty());
  EXPECT_EQ(closes(1, 1), (Names{"serves 2"}));
  EXPECT_THAT(dies(1, 0, true), IsEmpty());
  EXPECT_EQ(dies(1, 1, true), (Names{"gone 1"}));
}

TEST_F(SupervisorTest, CountsADeadWorkerAsOneThatAcceptsNothing) {
  serveWithTwoWorkers();
  reload();
  built(2, 1);
  ready(2, 0);
  EXPECT_THAT(closes(1, 1), IsEmpty());
  EXPECT_EQ(dies(1, 0), (Names{"serves 2"}));
}

TEST_F(SupervisorTest, RestartsAWorkerByASuccessorThatIsReadyFirst) {
  serveWithTwoWorkers();
  EXPECT_EQ(restarts(1), (Names{"spawn 1/1'"}));
  EXPECT_EQ(ready(1, 1, 1), (Names{"drain 1/1", "restarted"}));
  EXPECT_THAT(dies(1, 1, true), IsEmpty());
  after(2s);
  EXPECT_EQ(dies(1, 1, false, 1), (Names{"spawn 1/1'"}));
}

TEST_F(SupervisorTest, RestartsAllWorkersOneByOne) {
  serveWithTwoWorkers();
  EXPECT_EQ(restarts(std::nullopt), (Names{"spawn 1/0'"}));
  EXPECT_EQ(ready(1, 0, 1), (Names{"drain 1/0", "spawn 1/1'"}));
  EXPECT_EQ(ready(1, 1, 1), (Names{"drain 1/1", "restarted"}));
  EXPECT_EQ(restarts(0), (Names{"spawn 1/0''"}));
  dies(1, 0, true);
  EXPECT_EQ(ready(1, 0, 2), (Names{"drain 1/0'", "restarted"}));
  EXPECT_EQ(stop(), (Names{"drain 1/0''", "drain 1/1'"}));
}

TEST_F(SupervisorTest, KeepsTheOldWorkerWhenItsSuccessorFails) {
  serveWithTwoWorkers();
  restarts(std::nullopt);
  EXPECT_EQ(dies(1, 0, false, 1), (Names{"restart failed"}));
  restarts(1);
  EXPECT_EQ(after(10s), (Names{"kill 1/1'"}));
  EXPECT_EQ(dies(1, 1, false, 1), (Names{"restart failed"}));
  EXPECT_EQ(supervisor_.workers().size(), 2u);
  EXPECT_EQ(stop(), (Names{"drain 1/0", "drain 1/1"}));
}

TEST_F(SupervisorTest, ReplacesAWorkerThatDiesWhileItsSuccessorStarts) {
  serveWithTwoWorkers();
  after(2s);
  restarts(0);
  EXPECT_EQ(dies(1, 0), (Names{"spawn 1/0"}));
  EXPECT_EQ(ready(1, 0, 1), (Names{"drain 1/0", "restarted"}));
}

TEST_F(SupervisorTest, DoesOneThingAtATime) {
  serveWithTwoWorkers();
  EXPECT_THAT(restarts(2).at(0), testing::HasSubstr("they are 0 to 1"));
  restarts(0);
  EXPECT_THAT(restarts(1).at(0), testing::HasSubstr("being restarted"));
  EXPECT_THAT(reload(), IsEmpty());
  EXPECT_EQ(ready(1, 0, 1), (Names{"drain 1/0", "restarted", "build"}));
  EXPECT_THAT(restarts(1).at(0), testing::HasSubstr("reload is under way"));
}

TEST_F(SupervisorTest, EndsARestartWhenItStops) {
  serveWithTwoWorkers();
  restarts(0);
  EXPECT_EQ(stop(), (Names{"restart failed", "drain 1/0", "drain 1/1", "drain 1/0'"}));
}

TEST_F(SupervisorTest, TellsHowOftenAndWhyAPlaceWasFilledAnew) {
  serveWithTwoWorkers();
  after(2s);
  dies(1, 0);
  const std::vector<WorkerView> workers = supervisor_.workers();
  ASSERT_EQ(workers.size(), 2u);
  EXPECT_EQ(workers[0].state, WorkerState::kStarting);
  EXPECT_EQ(workers[0].restarts, 1u);
  EXPECT_EQ(workers[0].lastCause, "died");
  EXPECT_EQ(workers[1].state, WorkerState::kReady);
  EXPECT_EQ(workers[1].restarts, 0u);
}

TEST_F(SupervisorTest, KillsWhatIsNotDrainedInTime) {
  serveWithTwoWorkers();
  reload();
  built(2, 1);
  ready(2, 0);
  dies(1, 0, true);
  EXPECT_THAT(after(kDrain), IsEmpty());
  EXPECT_EQ(after(500ms), (Names{"kill 1/1", "serves 2"}));
  EXPECT_EQ(dies(1, 1), (Names{"gone 1"}));
}

TEST_F(SupervisorTest, KeepsTheOldGenerationWhenTheNewOneRefuses) {
  serveWithTwoWorkers();
  reload();
  built(2, 2);
  EXPECT_EQ(refuses(2, 0), (Names{"kill 2/0", "drain 2/1", "failed 2"}));
  dies(2, 0);
  EXPECT_EQ(dies(2, 1), (Names{"gone 2"}));
  EXPECT_EQ(supervisor_.serving(), 1u);
  after(2s);
  EXPECT_EQ(dies(1, 0), (Names{"spawn 1/0"}));
}

TEST_F(SupervisorTest, KeepsTheOldGenerationWhenTheNewOneDies) {
  serveWithTwoWorkers();
  reload();
  built(2, 2);
  ready(2, 1);
  EXPECT_EQ(dies(2, 0), (Names{"drain 2/1", "failed 2"})) << "it may have clients";
  EXPECT_EQ(dies(2, 1), (Names{"gone 2"}));
}

TEST_F(SupervisorTest, KeepsTheOldGenerationWhenTheNewOneIsNotReadyInTime) {
  serveWithTwoWorkers();
  reload();
  built(2, 2);
  ready(2, 1);
  EXPECT_EQ(after(10s), (Names{"kill 2/0", "drain 2/1", "failed 2"}));
}

TEST_F(SupervisorTest, KeepsTheOldGenerationWhenTheConfigurationIsRejected) {
  serveWithTwoWorkers();
  reload();
  EXPECT_THAT(names(supervisor_.generationRejected(now_)), IsEmpty());
  EXPECT_EQ(reload(), (Names{"build"}));
}

TEST_F(SupervisorTest, MakesOneReloadOfAllWishesDuringAReload) {
  serveWithTwoWorkers();
  reload();
  EXPECT_THAT(reload(), IsEmpty());
  built(2, 2);
  EXPECT_THAT(reload(), IsEmpty());
  EXPECT_THAT(reload(), IsEmpty());
  ready(2, 0);
  EXPECT_EQ(ready(2, 1), (Names{"drain 1/0", "drain 1/1"}));
  closes(1, 0);
  EXPECT_EQ(closes(1, 1), (Names{"serves 2", "build"}));
  built(3, 2);
  ready(3, 0);
  EXPECT_EQ(ready(3, 1), (Names{"drain 2/0", "drain 2/1"}));
}

TEST_F(SupervisorTest, DelaysAReloadUntilTheStartIsDone) {
  start(1);
  EXPECT_THAT(reload(), IsEmpty());
  EXPECT_EQ(ready(1, 0), (Names{"serves 1", "build"}));
}

TEST_F(SupervisorTest, DelaysAReloadWhileDrainingWorkersTakeTheRoom) {
  supervisor_ = Supervisor({.mostWorkers = 4});
  serveWithTwoWorkers();
  reload();
  built(2, 2);
  ready(2, 0);
  ready(2, 1);
  closes(1, 0);
  EXPECT_EQ(closes(1, 1), (Names{"serves 2"}));
  EXPECT_THAT(reload(), IsEmpty());
  EXPECT_THAT(dies(1, 0, true), IsEmpty());
  EXPECT_EQ(dies(1, 1, true), (Names{"gone 1", "build"}));
  EXPECT_EQ(built(3, 3), (Names{"failed 3", "gone 3"}));
}

TEST_F(SupervisorTest, LeavesWhenAllHaveDrained) {
  serveWithTwoWorkers();
  EXPECT_EQ(stop(), (Names{"drain 1/0", "drain 1/1"}));
  EXPECT_THAT(dies(1, 0, true), IsEmpty());
  EXPECT_EQ(dies(1, 1, true), (Names{"gone 1", "leave 0"}));
}

TEST_F(SupervisorTest, KillsOnASecondStop) {
  serveWithTwoWorkers();
  stop();
  EXPECT_EQ(stop(), (Names{"kill 1/0", "kill 1/1"}));
  dies(1, 0);
  EXPECT_EQ(dies(1, 1), (Names{"gone 1", "leave 0"}));
}

TEST_F(SupervisorTest, KillsAfterTheDrainTimeoutOfAStop) {
  serveWithTwoWorkers();
  stop();
  EXPECT_EQ(after(kDrain + 500ms), (Names{"kill 1/0", "kill 1/1"}));
}

TEST_F(SupervisorTest, ReplacesNobodyWhileItStops) {
  serveWithTwoWorkers();
  dies(1, 0);
  EXPECT_EQ(stop(), (Names{"drain 1/1"}));
  EXPECT_THAT(after(1s), IsEmpty());
  EXPECT_EQ(dies(1, 1), (Names{"gone 1", "leave 0"}));
}

TEST_F(SupervisorTest, StopsDuringAReload) {
  serveWithTwoWorkers();
  reload();
  built(2, 1);
  reload();
  EXPECT_EQ(stop(), (Names{"drain 1/0", "drain 1/1", "drain 2/0"}));
  EXPECT_THAT(ready(2, 0), IsEmpty());
  EXPECT_EQ(dies(2, 0, true), (Names{"gone 2"}));
  EXPECT_THAT(reload(), IsEmpty());
  dies(1, 0, true);
  EXPECT_EQ(dies(1, 1, true), (Names{"gone 1", "leave 0"}));
}

TEST_F(SupervisorTest, DiscardsAGenerationBuiltWhileItStops) {
  serveWithTwoWorkers();
  reload();
  stop();
  EXPECT_EQ(built(2, 2), (Names{"gone 2"}));
}

TEST_F(SupervisorTest, IgnoresEventsOfWorkersThatDoNotExist) {
  serveWithTwoWorkers();
  EXPECT_THAT(ready(7, 0), IsEmpty());
  EXPECT_THAT(dies(1, 9), IsEmpty());
  EXPECT_THAT(refuses(0, 0), IsEmpty());
  EXPECT_THAT(names(supervisor_.workerChannelClosed({9, 9}, now_)), IsEmpty());
}

TEST_F(SupervisorTest, SaysInEachReportWhatFollows) {
  serveWithTwoWorkers();
  const Actions actions = supervisor_.workerExited({1, 0}, {false, "killed by signal 9"}, now_);
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(std::get<Report>(actions[0]).text,
            "worker 0 of generation 1 killed by signal 9; replaced in 0.1 s");
}

/// A world of processes that obeys the Supervisor and misbehaves at random, and checks each action.
class World {
 public:
  static constexpr std::uint32_t kMost = 24;
  explicit World(std::uint64_t seed) : random_(seed), workers_(pick(1, 4)) {}

  void run() {
    apply(supervisor_.start(++generation_, workers_, kDrain, now_));
    const int steps = static_cast<int>(pick(0, 400));
    for (int i = 0; i < steps && !left_; ++i) step();
    apply(supervisor_.stop(now_));
    // No event but what the Supervisor itself asks for from here on: it must come to an end.
    for (int i = 0; i < 1000 && !left_; ++i) {
      const auto next = supervisor_.nextDeadline();
      ASSERT_TRUE(next.has_value() || !dying_.empty()) << "nothing would ever happen again";
      if (!dying_.empty()) {
        end(*dying_.begin());
      } else {
        now_ = std::max(now_, *next);
        apply(supervisor_.tick(now_));
      }
    }
    EXPECT_TRUE(left_);
    EXPECT_TRUE(processes_.empty());
  }

 private:
  std::uint32_t pick(std::uint32_t low, std::uint32_t high) {
    return std::uniform_int_distribution(low, high)(random_);
  }
  WorkerKey anyone() {
    if (processes_.empty() || pick(0, 30) == 0) return {pick(0, 9), pick(0, 5)};
    return *std::next(
        processes_.begin(),
        static_cast<std::ptrdiff_t>(pick(0, static_cast<std::uint32_t>(processes_.size()) - 1)));
  }
  void end(WorkerKey key) {
    dying_.erase(key);
    if (processes_.erase(key) == 0) return;
    apply(supervisor_.workerExited(key, {pick(0, 1) == 0, "ended"}, now_));
  }
  void step() {
    now_ += std::chrono::milliseconds(pick(0, 3) == 0 ? pick(0, 20'000) : pick(0, 50));
    switch (pick(0, 13)) {
      case 0:
        return end(anyone());
      case 1:
        return dying_.empty() ? void() : end(*dying_.begin());
      case 2:
        return pick(0, 4) == 0
                   ? apply(supervisor_.workerRefused(anyone(), "no", pick(0, 1) == 0, now_))
                   : void();
      case 3:
        return apply(supervisor_.workerMisbehaved(anyone(), "lies", now_));
      case 4:
        return apply(supervisor_.workerChannelClosed(anyone(), now_));
      case 5:
        return apply(supervisor_.reload(now_));
      case 6:
        return pick(0, 40) == 0 ? apply(supervisor_.stop(now_)) : void();
      case 9:
        return apply(supervisor_.workerClosed(anyone(), now_));
      case 10: {
        auto actions = supervisor_.restartWorkers(
            pick(0, 1) == 0 ? std::nullopt : std::optional(pick(0, 4)), now_);
        return actions ? apply(*actions) : void();
      }
      case 7:
      case 8:
        return apply(supervisor_.tick(now_));
      default:
        return apply(supervisor_.workerReady(anyone(), now_));
    }
  }
  void apply(const Actions& actions) {
    for (const Action& action : actions) {
      ASSERT_FALSE(left_) << "an action after Leave";
      std::visit([this](const auto& a) { act(a); }, action);
      std::size_t live = 0;
      for (const WorkerKey key : processes_) live += leaving_.contains(key) ? 0u : 1u;
      EXPECT_LE(live, 2u * 4u + 1u);
      EXPECT_LE(processes_.size(), kMost);
    }
    EXPECT_EQ(supervisor_.liveWorkers(), processes_.size());
    answerBuild();
  }
  void answerBuild() {
    if (!std::exchange(buildAsked_, false)) return;
    if (pick(0, 3) == 0) return apply(supervisor_.generationRejected(now_));
    apply(supervisor_.generationBuilt(++generation_, pick(1, 4), kDrain, now_));
  }

  void act(const SpawnWorker& a) {
    EXPECT_TRUE(processes_.insert(a.worker).second) << "spawned twice without an exit between";
    EXPECT_FALSE(supervisor_.stopping()) << "spawned while stopping";
  }
  void act(const AskToDrain& a) {
    EXPECT_TRUE(processes_.contains(a.worker));
    leaving_.insert(a.worker);
    if (pick(0, 1) == 0) dying_.insert(a.worker);
  }
  void act(const KillWorker& a) {
    EXPECT_TRUE(processes_.contains(a.worker));
    leaving_.insert(a.worker);
    dying_.insert(a.worker);
  }
  void act(const BuildGeneration&) { buildAsked_ = true; }
  void act(const GenerationServes& a) { EXPECT_EQ(a.generation, supervisor_.serving()); }
  void act(const GenerationFailed& a) { EXPECT_NE(a.generation, supervisor_.serving()); }
  void act(const GenerationGone& a) {
    for (const WorkerKey key : processes_) EXPECT_NE(key.generation, a.generation);
  }
  void act(const RestartEnded&) {}
  void act(const Report& a) { EXPECT_FALSE(a.text.empty()); }
  void act(const Leave&) {
    EXPECT_TRUE(processes_.empty());
    left_ = true;
  }

  std::mt19937_64 random_;
  std::uint32_t workers_;
  std::uint64_t generation_ = 0;
  Clock::time_point now_ = Clock::time_point() + 1h;
  Supervisor supervisor_{{.mostWorkers = kMost}};
  std::set<WorkerKey> processes_;
  std::set<WorkerKey> leaving_;
  std::set<WorkerKey> dying_;
  bool buildAsked_ = false;
  bool left_ = false;
};

TEST(SupervisorProperties, HoldForAnySequenceOfEvents) {
  const auto given = static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed());
  const std::uint64_t first = given != 0 ? given : std::random_device{}();
  for (std::uint64_t seed = first; seed < first + 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World(seed).run();
    if (testing::Test::HasFailure()) FAIL() << "rerun with --gtest_random_seed=" << seed;
  }
}

}  // namespace
}  // namespace egalaxyd
