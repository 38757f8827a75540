#include "master/supervise/launcher_keeper.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>
#include <type_traits>
#include <variant>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/write_all.h"
#include "common/loop/signal_source.h"
#include "common/system/log.h"
#include "master/launcher/orphans.h"
#include "master/launcher/packet_socket.h"

namespace egalaxyd {
namespace {

/// The launcher finds its channel there.
constexpr int kChannelNumber = 3;
/// From its start to its first word.
constexpr std::chrono::seconds kReadyPatience{10};
/// Questions in a row that it may leave without an answer: any script of its account can stop it.
constexpr unsigned kMostUnanswered = 3;
/// The number of a question that nobody waits for.
constexpr std::uint32_t kOnlyToBeAnswered = 0;
/// One that has closed its channel has that long to end by itself.
constexpr std::chrono::seconds kEndPatience{2};
/// Milliseconds for one that was killed to be gone when the master goes.
constexpr int kLastLauncherWait = 100;
/// Between two looks for what scripts of a dead launcher have left.
constexpr std::chrono::milliseconds kOrphanPause{20};
/// What a launcher has forked as it was killed tells so late that it is a script's.
constexpr std::chrono::seconds kLateOrphans{2};
/// One that lived shorter has died quickly.
constexpr std::chrono::seconds kQuickDeath{1};
/// One that lived that long was well.
constexpr std::chrono::minutes kWell{1};
/// After the second quick death in a row; doubles with each further one.
constexpr std::chrono::milliseconds kFirstLauncherPause{100};
constexpr std::chrono::milliseconds kLongestLauncherPause{30'000};

Result<UniqueFd> openLauncher() {
  std::error_code unknown;
  const auto path =
      std::filesystem::read_symlink("/proc/self/exe", unknown).parent_path() / "egalaxyd-launcher";
  UniqueFd program(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!program) return errnoError("open " + path.string(), errno);
  return program;
}

Result<void> becomeLauncher(int opened, UniqueFd channel, const std::optional<Account>& account) {
  resetSignals();
  const UniqueFd program(::fcntl(opened, F_DUPFD_CLOEXEC, kChannelNumber + 1));
  if (!program) return errnoError("arrange descriptors", errno);
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  // A copy: dup2(2) of a descriptor to itself would leave it close-on-exec.
  const UniqueFd copy(::fcntl(channel.get(), F_DUPFD_CLOEXEC, kChannelNumber + 1));
  if (!copy || ::dup2(nothing.get(), STDIN_FILENO) < 0 ||
      ::dup2(copy.get(), kChannelNumber) != kChannelNumber) {
    return errnoError("arrange descriptors", errno);
  }
  if (::syscall(SYS_close_range, kChannelNumber + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return errnoError("close the master's descriptors", errno);
  }
  if (auto dropped = dropPrivileges(account); !dropped) return dropped;
  const char* const arguments[] = {"egalaxyd-launcher", nullptr};
  const char* const environment[] = {nullptr};
  ::syscall(SYS_execveat, program.get(), "", arguments, environment, AT_EMPTY_PATH);
  return errnoError("start egalaxyd-launcher", errno);
}

Result<UniqueFd> connectTo(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kInvalid, name + " is too long for a socket"};
  }
  name.copy(address.sun_path, name.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errnoError("make a socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errnoError("connect to " + name, errno);
  }
  return socket;
}

Result<UniqueFd> sealedFile(const std::string& text) {
  UniqueFd file(::memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return errnoError("make a memory file", errno);
  if (const int failed = writeAll(file.get(), text); failed != 0) {
    return errnoError("write a launcher's plan", failed);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
      0) {
    return errnoError("seal a launcher's plan", errno);
  }
  return file;
}

Clock::duration launcherPause(unsigned quickDeaths) {
  if (quickDeaths == 0) return {};
  std::chrono::milliseconds pause = kFirstLauncherPause;
  for (unsigned i = 1; i < quickDeaths && pause < kLongestLauncherPause; ++i) pause *= 2;
  return std::min(pause, kLongestLauncherPause);
}

}  // namespace

LaunchHook launcherStarter() {
  const auto program = std::make_shared<const Result<UniqueFd>>(openLauncher());
  return
      [program](UniqueFd channel, const std::optional<Account>& account) -> Result<ForkedProcess> {
        if (!*program) return program->error();
        return forkProcess([&] {
          const auto failed = becomeLauncher((*program)->get(), std::move(channel), account);
          spdlog::error("a launcher of scripts cannot start: {}", failed.error().message);
          return EX_OSERR;
        });
      };
}

/// One launcher of a generation, or the pause before the next.
struct LauncherKeeper::Place {
  enum class State { kPausing, kStarting, kReady, kFinishing };

  Place(LauncherKeeper& keeper, Key mine, WantedLauncher launcher, std::filesystem::path bodies)
      : key(mine),
        wanted(std::move(launcher)),
        spool(std::move(bodies)),
        ended(keeper.loop_, [this, &keeper](IoEvents) { keeper.endLater(*this); }),
        timer(keeper.loop_, [this, &keeper] { keeper.onTime(*this); }),
        look(keeper.loop_, [this, &keeper] { keeper.onLook(*this); }) {}

  std::string name() const {
    return "the launcher of " + wanted.account.account.user + "'s scripts";
  }
  bool isThere() const { return state != State::kPausing; }

  const Key key;
  const WantedLauncher wanted;
  const std::filesystem::path spool;
  State state = State::kPausing;
  std::unique_ptr<PacketSocket> channel;
  std::optional<ForkedProcess> process;  ///< none of systemd's
  Clock::time_point since{};
  unsigned life = 0;  ///< counts the launchers that this place had
  unsigned quickDeaths = 0;
  std::string fault;  ///< why it was killed
  Watch ended;        ///< of `process`
  Timer timer;        ///< what it ends depends on `state`
  Timer look;         ///< of one that was ready
  unsigned unanswered = 0;
};

struct LauncherKeeper::Question {
  Question(EventLoop& loop, Answered to, std::function<void()> onLate)
      : answered(std::move(to)), late(loop, std::move(onLate)) {}

  Answered answered;
  std::set<Key> waiting;  ///< for these
  LaunchersAnswer answer;
  Timer late;
};

LauncherKeeper::LauncherKeeper(EventLoop& loop, LauncherHooks hooks)
    : loop_(loop),
      hooks_(std::move(hooks)),
      orphans_(loop, [this] { endOrphans(); }),
      lateOrphans_(loop, [this] { endOrphans(); }) {}

LauncherKeeper::~LauncherKeeper() {
  for (const auto& [key, place] : places_) {
    if (!place->process) continue;
    killProcess(*place->process);
    pollfd ended{place->process->pidFd.get(), POLLIN, 0};
    ::poll(&ended, 1, kLastLauncherWait);
    collectProcess(*place->process);
  }
}

void LauncherKeeper::begin(std::uint64_t generation, std::vector<WantedLauncher> wanted,
                           const std::filesystem::path& spool) {
  if (!wanted.empty()) ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::uint32_t number = 0;
  for (WantedLauncher& each : wanted) {
    const Key key{generation, number++};
    auto& place = places_[key] = std::make_unique<Place>(*this, key, std::move(each), spool);
    start(*place);
  }
}

std::vector<UniqueFd> LauncherKeeper::connect(std::uint64_t generation, std::int64_t worker) {
  std::vector<UniqueFd> ends;
  for (const auto& [key, place] : places_) {
    if (key.first != generation) continue;
    UniqueFd& end = ends.emplace_back();
    if (!place->isThere()) continue;
    if (auto made = connect(*place, worker)) end = std::move(*made);
  }
  return ends;
}

Result<UniqueFd> LauncherKeeper::connect(Place& place, std::int64_t worker) {
  auto ends = messageSocketPair();
  if (!ends) return ends.error();
  std::vector<UniqueFd> files;
  files.push_back(std::move(ends->second));
  place.channel->send(encode(MasterSays(TakeWorker{worker})), std::move(files));
  return std::move(ends->first);
}

void LauncherKeeper::start(Place& place) {
  place.state = Place::State::kPausing;
  auto begun = brief(place);
  if (!begun) return startLater(place, "could not be started: " + begun.error().message);
  place.state = Place::State::kStarting;
  place.timer.setAfter(kReadyPatience);
  for (const std::int64_t worker : hooks_.workers(place.key.first)) {
    if (const auto socket = connect(place, worker)) {
      hooks_.handOver(worker, place.key.second, *socket);
    }
  }
}

/// Its process, or the connection to systemd's; and its plan.
Result<void> LauncherKeeper::brief(Place& place) {
  place.since = Clock::now();
  ++place.life;
  place.fault.clear();
  UniqueFd spool(::open(place.spool.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!spool) return errnoError("open " + place.spool.string(), errno);
  auto plan = sealedFile(encode(place.wanted.plan));
  if (!plan) return plan.error();
  auto socket = open(place);
  if (!socket) return socket.error();
  place.channel = std::make_unique<PacketSocket>(
      loop_, std::move(*socket), PacketSocket::Files::kRefuse,
      PacketSocket::Callbacks{
          [this, &place](std::string_view packet, const auto&) { onPacket(place, packet); },
          [this, &place](const std::string& fault) { onChannelEnded(place, fault); }});
  std::vector<UniqueFd> files;
  files.push_back(std::move(*plan));
  files.push_back(std::move(spool));
  place.channel->send(encode(MasterSays(TakePlan{})), std::move(files));
  place.channel->start();
  return {};
}

Result<UniqueFd> LauncherKeeper::open(Place& place) {
  const ScriptAccount& account = place.wanted.account;
  if (account.way == LauncherWay::kSystemd) return connectTo(account.socket);
  auto ends = messageSocketPair();
  if (!ends) return ends.error();
  const bool changes = account.way == LauncherWay::kForked;
  auto forked = hooks_.launch(std::move(ends->second),
                              changes ? std::optional(account.account) : std::nullopt);
  if (!forked) return forked.error();
  if (auto watched = place.ended.start(forked->pidFd.get(), WatchMode::kRead); !watched) {
    killProcess(*forked);
    ::waitpid(forked->pid, nullptr, 0);
    return watched.error();
  }
  place.process = std::move(*forked);
  return std::move(ends->first);
}

void LauncherKeeper::onPacket(Place& place, std::string_view packet) {
  place.unanswered = 0;
  const auto said = decodeLauncherSays(packet);
  if (!said) return kill(place, "it sent an invalid message");
  std::visit([&](const auto& each) { onSaid(place, each); }, *said);
}

void LauncherKeeper::onSaid(Place& place, const LauncherReady&) {
  if (place.state != Place::State::kStarting) return;
  place.state = Place::State::kReady;
  place.timer.cancel();
  place.look.setAfter(hooks_.betweenLooks);
  spdlog::debug("{} is ready", place.name());
}

void LauncherKeeper::onLook(Place& place) {
  if (place.unanswered++ == kMostUnanswered) return kill(place, "it does not answer any more");
  place.channel->send(encode(MasterSays(ListScripts{kOnlyToBeAnswered})));
  place.look.setAfter(hooks_.betweenLooks);
}

void LauncherKeeper::onSaid(Place& place, const WorkerLied& said) {
  hooks_.lied(place.key.first, said.worker, printable(said.what));
}

void LauncherKeeper::onSaid(Place& place, const ScriptsRunning& said) {
  const auto found = questions_.find(said.question);
  if (found == questions_.end() || !found->second->waiting.contains(place.key)) return;
  LaunchersAnswer& answer = found->second->answer;
  for (const RunningScript& script : said.scripts) {
    answer.scripts.push_back({place.wanted.account.account.user, script});
  }
  answer.more += said.more;
  noteAnswer(said.question, place);
}

void LauncherKeeper::onSaid(Place& place, const ScriptStopped& said) {
  const auto found = questions_.find(said.question);
  if (found == questions_.end() || !found->second->waiting.contains(place.key)) return;
  found->second->answer.found |= said.found;
  noteAnswer(said.question, place);
}

void LauncherKeeper::onSaid(Place& place, const LauncherWarns& said) {
  spdlog::warn("{}: {}", place.name(), logQuote(said.text));
}

void LauncherKeeper::onChannelEnded(Place& place, const std::string& fault) {
  if (!fault.empty()) return kill(place, fault);
  if (!place.process) return endLater(place);
  if (place.state == Place::State::kFinishing) return;
  place.timer.setAfter(kEndPatience);
}

void LauncherKeeper::onTime(Place& place) {
  switch (place.state) {
    case Place::State::kPausing:
      return start(place);
    case Place::State::kStarting:
    case Place::State::kReady:
      return kill(place, "it did not answer in time");
    case Place::State::kFinishing:
      return kill(place, "scripts did not end in time");
  }
}

/// Callbacks of what is destroyed are on the stack now.
void LauncherKeeper::endLater(Place& place) {
  place.ended.stop();
  place.timer.cancel();
  place.look.cancel();
  loop_.defer([this, key = place.key, life = place.life] { onEnded(key, life); });
}

/// One of systemd's sees that its channel is closed.
void LauncherKeeper::kill(Place& place, std::string why) {
  if (place.fault.empty()) place.fault = std::move(why);
  if (place.process) return killProcess(*place.process);
  place.channel->close();
  endLater(place);
}

void LauncherKeeper::onEnded(Key key, unsigned life) {
  const auto found = places_.find(key);
  if (found == places_.end() || found->second->life != life) return;
  Place& place = *found->second;
  std::string how = place.process ? endInWords(collectProcess(*place.process))
                                  : std::string("closed the connection");
  if (!place.fault.empty()) how += ": " + place.fault;
  if (place.process) {
    endOrphans();
    lateOrphans_.setAfter(kLateOrphans);
  }
  place.process.reset();
  place.channel.reset();
  std::vector<std::uint32_t> asked;
  for (const auto& [number, question] : questions_) asked.push_back(number);
  for (const std::uint32_t number : asked) noteAnswer(number, place);
  if (place.state != Place::State::kFinishing) return startLater(place, how);
  if (!place.fault.empty()) spdlog::warn("{} {}", place.name(), how);
  places_.erase(found);
  tellWhenNone();
}

void LauncherKeeper::startLater(Place& place, const std::string& how) {
  const auto lived = Clock::now() - place.since;
  if (lived >= kWell) place.quickDeaths = 0;
  const bool quick = lived < kQuickDeath;
  const Clock::duration pause = launcherPause(quick ? place.quickDeaths : 0);
  if (quick) ++place.quickDeaths;
  spdlog::warn("{} {}; started again {}", place.name(), how,
               pause == Clock::duration()
                   ? "at once"
                   : fmt::format("in {:.1f} s", std::chrono::duration<double>(pause).count()));
  place.ended.stop();
  place.look.cancel();
  place.unanswered = 0;
  place.process.reset();
  place.channel.reset();
  place.state = Place::State::kPausing;
  place.timer.setAfter(pause);
}

void LauncherKeeper::finish(std::uint64_t generation, Clock::duration patience) {
  std::vector<Place*> its;
  for (const auto& [key, place] : places_) {
    if (key.first == generation) its.push_back(place.get());
  }
  for (Place* place : its) finish(*place, patience);
}

void LauncherKeeper::finish(Place& place, Clock::duration patience) {
  if (!place.isThere()) {
    place.timer.cancel();
    place.state = Place::State::kFinishing;
    loop_.defer([this, key = place.key] {
      places_.erase(key);
      tellWhenNone();
    });
    return;
  }
  if (place.state == Place::State::kFinishing && place.channel == nullptr) return;
  place.state = Place::State::kFinishing;
  place.channel->send(encode(MasterSays(FinishRuns{})));
  place.timer.setAfter(patience);
}

void LauncherKeeper::finishAll(Clock::duration patience, std::function<void()> done) {
  whenNone_ = std::move(done);
  std::vector<Place*> all;
  for (const auto& [key, place] : places_) all.push_back(place.get());
  for (Place* place : all) finish(*place, patience);
  tellWhenNone();
}

void LauncherKeeper::hurry() {
  for (const auto& [key, place] : places_) {
    if (place->state == Place::State::kFinishing && place->timer.active())
      place->timer.setAfter({});
  }
}

/// Those whose parents are killed come next.
void LauncherKeeper::endOrphans() {
  if (egalaxyd::endOrphans()) return orphans_.setAfter(kOrphanPause);
  tellWhenNone();
}

void LauncherKeeper::tellWhenNone() {
  if (places_.empty() && !orphans_.active() && whenNone_) std::exchange(whenNone_, nullptr)();
}

void LauncherKeeper::listScripts(Answered answered) { ask(ListScripts{}, std::move(answered)); }

void LauncherKeeper::stopScript(pid_t pid, Answered answered) {
  StopProcess message;
  message.pid = pid;
  ask(message, std::move(answered));
}

template <class Message>
void LauncherKeeper::ask(Message message, Answered answered) {
  const std::uint32_t number = ++lastQuestion_;
  message.question = number;
  auto& question = questions_[number] = std::make_unique<Question>(
      loop_, std::move(answered),
      [this, number] { loop_.defer([this, number] { complete(number); }); });
  for (const auto& [key, place] : places_) {
    if (!place->channel) continue;
    question->waiting.insert(key);
    place->channel->send(encode(MasterSays(message)));
  }
  if (question->waiting.empty()) return complete(number);
  question->late.setAfter(kLauncherPatience);
}

void LauncherKeeper::noteAnswer(std::uint32_t number, const Place& place) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  Question& question = *found->second;
  if (question.waiting.erase(place.key) > 0 && question.waiting.empty()) complete(number);
}

void LauncherKeeper::complete(std::uint32_t number) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  const auto question = std::move(found->second);
  questions_.erase(found);
  question->answer.silent = question->waiting.size();
  question->answered(question->answer);
}

std::vector<LauncherView> LauncherKeeper::launchers() const {
  std::vector<LauncherView> views;
  for (const auto& [key, place] : places_) {
    views.push_back({place->wanted.account, place->process ? place->process->pid : 0});
  }
  return views;
}

void LauncherKeeper::closeInChild() {
  for (const auto& [key, place] : places_) {
    if (place->process) ::close(place->process->pidFd.get());
    if (place->channel) place->channel->closeInChild();
  }
}

}  // namespace egalaxyd
