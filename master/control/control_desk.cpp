#include "master/control/control_desk.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "common/base/units.h"
#include "common/config/config_loader.h"
#include "common/system/log.h"
#include "master/child/fleet_query.h"
#include "master/child/send_backup.h"
#include "master/child/storage_query.h"
#include "master/control/certificate_report.h"
#include "master/control/command_right.h"
#include "master/control/figures_report.h"
#include "master/control/limit_report.h"
#include "master/control/process_parents.h"
#include "master/control/script_report.h"
#include "master/control/upstream_report.h"
#include "master/control/version_query.h"
#include "master/start/server_paths.h"

namespace egalaxyd {

using Poco::JSON::Object;

namespace {

/// A gigabyte on a slow disk.
constexpr std::chrono::seconds kRestorePatience{600};
/// It gives up earlier when its client takes nothing.
constexpr std::chrono::hours kBackupPatience{24};

/// Of which process systemd's launcher is, the master does not know.
bool mayBeScriptOf(const LauncherView& launcher, const ControlPeer& peer) {
  if (launcher.account.account.uid != peer.uid) return false;
  if (launcher.account.way == LauncherWay::kSystemd) return true;
  // What outlives a launcher is the master's child, as all its launchers are.
  return mayDescendFrom(peer.pid, ::getpid());
}

}  // namespace

ControlDesk::ControlDesk(EventLoop& loop, ManagedMaster& master)
    : master_(master),
      server_(loop,
              [this](ClientId client, const ControlRequest& request, const ControlPeer& peer) {
                if (const Answer now = answer(client, request, peer)) server_.answer(client, *now);
              }),
      queries_(loop),
      restores_(loop,
                {.most = 2,
                 .patience = kRestorePatience,
                 .busy = "other uploads are being restored; try again",
                 .late = "it took too long, and was given up, but may have been restored: look "
                         "before you try again; the disk may be slow",
                 .process = "the process that restores uploads"}),
      backups_(loop, {.most = 1,
                      .patience = kBackupPatience,
                      .busy = "another backup is being made; try again when it is done",
                      .late = "it took more than a day, and was given up",
                      .process = "the process that makes the backup"}) {}

void ControlDesk::open() {
  const bool first = !std::exchange(opened_, true);
  const Generation& generation = master_.view().current;
  const auto& folder = generation.config.server.runtimeDir;
  const bool wasThere = server_.inPlace();
  const auto owner = controlOwner(generation.account);
  auto opened = makeServerFolder(folder, owner);
  if (opened) opened = server_.open(folder / kControlSocket, owner);
  const std::string trouble = opened ? "" : opened.error().message;
  if (opened && !first && !wasThere) {
    spdlog::info("the control socket was missing: egalaxyctl can reach this server again");
  } else if (trouble != trouble_ && !opened) {
    spdlog::warn("egalaxyctl cannot reach this server: {}", trouble);
  }
  trouble_ = trouble;
}

void ControlDesk::keepOpen() {
  if (!server_.inPlace()) open();
}

/// A command, whether it changes something, and what is done for it.
struct ControlDesk::Row {
  ControlCommand command;
  bool mayChange;
  Answer (*handler)(ControlDesk& desk, ClientId client, const ControlRequest& request);
};

/// nullptr: there is no such command.
const ControlDesk::Row* ControlDesk::rowOf(const std::string& command) {
  using enum ControlCommand;
  constexpr auto query = [](ControlDesk& desk, ClientId client, const ControlRequest& request) {
    return desk.query(client, request);
  };
  // By ControlCommand.
  static constexpr std::array<Row, kControlCommands.size()> kRows{{
      {kStatus, false,
       [](ControlDesk& desk, ClientId, const ControlRequest&) -> Answer {
         return describeStatus(desk.master_.view(), desk.reloadFailure_);
       }},
      {kStats, false,
       [](ControlDesk& desk, ClientId, const ControlRequest&) -> Answer {
         return describeStatistics(desk.master_.view());
       }},
      {kLimits, false,
       [](ControlDesk& desk, ClientId, const ControlRequest&) -> Answer {
         const MasterView master = desk.master_.view();
         return describeLimits(master.shared, master.current.config.rateLimit);
       }},
      {kCertificates, false,
       [](ControlDesk& desk, ClientId, const ControlRequest&) -> Answer {
         return describeCertificates(*desk.master_.view().current.plan);
       }},
      {kUsers, false, query},
      {kUser, false, query},
      {kUploads, false, query},
      {kUpload, false, query},
      {kFleet, false,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) {
         return desk.fleet(client);
       }},
      {kForgetUser, true, query},
      // It changes nothing, but what it shows may be for members of a site only.
      {kContent, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest& request) {
         return desk.content(client, request);
       }},
      {kRestore, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest& request) {
         return desk.restore(client, request);
       }},
      // It holds the private keys, and all that members wrote.
      {kBackup, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) {
         return desk.backup(client);
       }},
      {kClearLimits, true,
       [](ControlDesk& desk, ClientId, const ControlRequest& request) -> Answer {
         const MasterView master = desk.master_.view();
         return clearLimits(request, master.shared, master.current.config.rateLimit);
       }},
      {kReload, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) {
         return desk.reload(client, &ManagedMaster::reload);
       }},
      {kInstallPlace, false,
       [](ControlDesk& desk, ClientId, const ControlRequest& request) -> Answer {
         return describeInstallPlace(desk.master_.view().current.config, request.argument("host"));
       }},
      {kScripts, false,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) {
         return desk.listScripts(client);
       }},
      {kStopScript, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest& request) {
         return desk.stopScript(client, request);
       }},
      {kUpstreams, false,
       [](ControlDesk& desk, ClientId, const ControlRequest&) -> Answer {
         return describeUpstreams(desk.master_.view());
       }},
      {kRenew, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) {
         return desk.reload(client, &ManagedMaster::renew);
       }},
      {kRestart, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest& request) {
         return desk.restart(client, request);
       }},
      {kLog, true,
       [](ControlDesk& desk, ClientId, const ControlRequest& request) -> Answer {
         return desk.changeLogLevel(request);
       }},
      {kStop, true,
       [](ControlDesk& desk, ClientId client, const ControlRequest&) { return desk.stop(client); }},
  }};
  static_assert([] {
    for (std::size_t i = 0; i < kRows.size(); ++i) {
      if (kRows[i].command != static_cast<ControlCommand>(i)) return false;
    }
    return true;
  }());
  const auto known = parseControlCommand(command);
  return known ? &kRows[static_cast<std::size_t>(*known)] : nullptr;
}

/// A command that is not known is refused like one that changes something: it might.
ControlDesk::Answer ControlDesk::answer(ClientId client, const ControlRequest& request,
                                        const ControlPeer& peer) {
  const Row* row = rowOf(request.command);
  if (row != nullptr && !row->mayChange) return row->handler(*this, client, request);
  const std::string id = request.argument("id");
  const std::string what = request.command + (id.empty() ? "" : " " + id);
  if (const std::string refusal = whyRefused(peer); !refusal.empty()) {
    spdlog::warn("control: \"{}\" from process {} of user {} was refused", logQuote(what), peer.pid,
                 peer.uid);
    return controlFailure(refusal);
  }
  spdlog::info("control: \"{}\" from process {} of user {}", logQuote(what), peer.pid, peer.uid);
  if (row != nullptr) return row->handler(*this, client, request);
  return controlFailure("this server knows no command " + request.command);
}

std::string ControlDesk::whyRefused(const ControlPeer& peer) const {
  const MasterView master = master_.view();
  Commanders commanders{
      .owner = master.owner, .group = server_.group(), .workerAccounts = master.workerAccounts};
  for (const WorkerStatus& worker : master.workers) {
    if (worker.process) commanders.workerProcesses.push_back(worker.process->pid);
  }
  commanders.isScript = std::ranges::any_of(
      master.launchers, [&](const LauncherView& each) { return mayBeScriptOf(each, peer); });
  return egalaxyd::whyRefused(peer, commanders);
}

/// By a process of its own: SQLite may wait for a disk or a lock.
ControlDesk::Answer ControlDesk::query(ClientId client, const ControlRequest& request) {
  const auto query = readStorageQuery(request);
  if (!query) return controlFailure(query.error().message);
  const Generation& generation = master_.view().current;
  const auto ask = [&] {
    return encodeControlAnswer(askDatabase(*query, generation.config, generation.account));
  };
  return askInProcess(client, ask);
}

ControlDesk::Answer ControlDesk::fleet(ClientId client) {
  const StorageConfig& storage = master_.view().current.config.storage;
  if (storage.engine == StorageKind::kSqlite) {
    return controlFailure("this host shares no database with others: storage.engine is \"sqlite\"");
  }
  const MasterView master = master_.view();
  const std::uint64_t number = master.shared.database().instance;
  const std::string instance = number == 0 ? "" : fmt::format("{:016x}", number);
  const Generation& generation = master.current;
  return askInProcess(client, [&generation, &instance] {
    return encodeControlAnswer(askFleet(generation.config, generation.account, instance));
  });
}

ControlDesk::Answer ControlDesk::askInProcess(ClientId client, const QueryRunner::Work& ask) {
  const auto running = queries_.run(
      ask, [this, client](const Result<std::string>& line) { answerWith(client, line); });
  if (!running) return controlFailure(running.error().message);
  return std::nullopt;
}

void ControlDesk::answerWith(ClientId client, const Result<std::string>& line) {
  if (line) return server_.answerLine(client, *line);
  spdlog::warn("control: {}", line.error().message);
  server_.answer(client, controlFailure(line.error().message));
}

ControlDesk::Answer ControlDesk::content(ClientId client, const ControlRequest& request) {
  const auto query = readVersionQuery(request);
  if (!query) return controlFailure(query.error().message);
  const Generation& generation = master_.view().current;
  const auto ask = [&] {
    return encodeControlAnswer(askContent(*query, generation.config, generation.account));
  };
  return askInProcess(client, ask);
}

ControlDesk::Answer ControlDesk::restore(ClientId client, const ControlRequest& request) {
  const auto query = readVersionQuery(request);
  if (!query) return controlFailure(query.error().message);
  const Generation& generation = master_.view().current;
  const std::int64_t uploader = master_.nextUploader();
  const auto ask = [&] {
    return encodeControlAnswer(askRestore(*query, generation.config, generation.account, uploader));
  };
  const auto running =
      restores_.run(ask, [this, client, uploader](const Result<std::string>& line) {
        answerWith(client, line);
        master_.uploaderEnded(uploader);
      });
  if (!running) return controlFailure(running.error().message);
  return std::nullopt;
}

ControlDesk::Answer ControlDesk::backup(ClientId client) {
  const Generation& generation = master_.view().current;
  const int socket = server_.socketOf(client);
  const auto send = [&] {
    return encodeControlAnswer(sendBackup(socket, generation.config, generation.account));
  };
  const auto running = backups_.run(
      send, [this, client](const Result<std::string>& line) { answerWith(client, line); }, socket);
  if (!running) return controlFailure(running.error().message);
  return std::nullopt;
}

ControlDesk::Answer ControlDesk::reload(ClientId client, void (ManagedMaster::*begin)()) {
  if (master_.view().state == MasterState::kStopping) {
    return controlFailure("the server is stopping");
  }
  await(reloadAsked_, client);
  (master_.*begin)();
  return std::nullopt;
}

ControlDesk::Answer ControlDesk::restart(ClientId client, const ControlRequest& request) {
  const std::string which = request.argument("worker");
  std::optional<std::uint32_t> number;  // none: all
  if (const auto given = parseNumber(which, 0, UINT32_MAX)) {
    number = static_cast<std::uint32_t>(*given);
  } else if (which != "all") {
    return controlFailure("\"" + which + "\" is no worker: a number, or all");
  }
  await(restartAwaited_, client);
  const auto begun = master_.restartWorkers(number);
  if (begun) return std::nullopt;
  std::erase(restartAwaited_, client);
  return controlFailure(begun.error().message);
}

ControlDesk::Answer ControlDesk::listScripts(ClientId client) {
  master_.listScripts([this, client](const LaunchersAnswer& answer) {
    server_.answer(client, describeScripts(answer));
  });
  return std::nullopt;
}

ControlDesk::Answer ControlDesk::stopScript(ClientId client, const ControlRequest& request) {
  const std::string given = request.argument("id");
  const auto number = parseNumber(given, 1, INT32_MAX);
  if (!number) return controlFailure("\"" + given + "\" is no process id");
  const auto pid = static_cast<pid_t>(*number);
  master_.stopScript(pid, [this, client, pid](const LaunchersAnswer& answer) {
    server_.answer(client, describeStopped(pid, answer));
  });
  return std::nullopt;
}

ControlDesk::Answer ControlDesk::stop(ClientId client) {
  await(stopAwaited_, client);
  master_.stop();
  return std::nullopt;
}

Object ControlDesk::changeLogLevel(const ControlRequest& request) {
  const std::string name = request.argument("level");
  const auto level = parseLogLevel(name);
  if (!level) {
    return controlFailure("\"" + name + "\" is no level: trace, debug, info, warn or error");
  }
  master_.changeLogLevel(*level);
  return controlSuccess();
}

void ControlDesk::reloadBegins() {
  std::ranges::move(std::exchange(reloadAsked_, {}), std::back_inserter(reloadAwaited_));
}

void ControlDesk::reloadSucceeded(std::uint64_t generation, bool renewal) {
  if (!renewal) reloadFailure_.reset();
  Object answer = controlSuccess();
  answer.set("generation", generation);
  answerAll(reloadAwaited_, answer);
}

void ControlDesk::reloadFailed(std::vector<std::string> complaints, bool renewal) {
  answerAll(reloadAwaited_, controlFailure(fmt::format("reload failed: generation {} serves on",
                                                       master_.view().serving),
                                           complaints));
  if (renewal) return;
  reloadFailure_ = ReloadFailure{std::chrono::system_clock::now(), std::move(complaints)};
}

void ControlDesk::restartEnded(const std::string& failure) {
  answerAll(restartAwaited_, failure.empty()
                                 ? controlSuccess()
                                 : controlFailure("the old worker serves on: " + failure));
}

void ControlDesk::stopped() {
  const Object ended = controlFailure("the server stopped");
  answerAll(reloadAsked_, ended);
  answerAll(reloadAwaited_, ended);
  answerAll(stopAwaited_, controlSuccess());
}

Object ControlDesk::figures(const FaultRing& own) const {
  return describeFigures(master_.view(), reloadFailure_, own);
}

void ControlDesk::closeInChild() {
  server_.closeInChild();
  queries_.closeInChild();
  restores_.closeInChild();
  backups_.closeInChild();
}

/// Those that have gone meanwhile are forgotten, so that there are never more than clients.
void ControlDesk::await(Waiting& waiting, ClientId client) {
  std::erase_if(waiting, [this](ClientId each) { return !server_.has(each); });
  waiting.push_back(client);
}

void ControlDesk::answerAll(Waiting& waiting, const Object& answer) {
  for (const ClientId client : std::exchange(waiting, {})) server_.answer(client, answer);
}

}  // namespace egalaxyd
