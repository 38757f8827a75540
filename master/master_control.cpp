// What the control socket asks of the master.
#include <openssl/crypto.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/base/memory_use.h"
#include "common/base/units.h"
#include "common/base/version.h"
#include "common/config/config_loader.h"
#include "common/storage/sqlite_storage.h"
#include "common/system/log.h"
#include "master/child/storage_query.h"
#include "master/control/command_right.h"
#include "master/master_process.h"
#include "master/start/server_paths.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Array;
using Poco::JSON::Object;

/// KiB; a worker that says more lies.
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 40;

Object done() {
  Object answer = jsonObject();
  answer.set("ok", true);
  return answer;
}

std::int64_t secondsSince(Clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - when).count();
}

std::int64_t unixTime(std::chrono::system_clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
}

Array describeListeners(const ListenerSet& set) {
  Array listeners;
  for (const ListenerSet::Listener& listener : set.listeners()) {
    for (const auto& socket : listener.sockets) {
      Object object = jsonObject();
      object.set("address", ListenAddress{listener.address.host, localPort(socket->get())}.text());
      object.set("protocols", std::string(protocolsOf(listener.kind)));
      object.set("listening", socket->listens());
      listeners.add(object);
    }
  }
  return listeners;
}

/// The libraries that are loaded, which may be newer than those of the build. The workers are
/// forks.
Object describeLibraries() {
  Object libraries = jsonObject();
  libraries.set("openssl", std::string(OpenSSL_version(OPENSSL_VERSION_STRING)));
  libraries.set("sqlite", std::string(sqliteVersion()));
  return libraries;
}

Array listOf(const std::vector<std::string>& texts) {
  Array list;
  for (const std::string& text : texts) list.add(text);
  return list;
}

}  // namespace

/// Serving matters more than being managed: without the socket the server says so, goes on, and
/// tries again.
void Master::openControl() {
  const bool first = !control_;
  if (first) {
    control_ = std::make_unique<ControlServer>(
        *loop_, [this](ClientId client, const ControlRequest& request, const ControlPeer& peer) {
          onControl(client, request, peer);
        });
  }
  const Generation& generation = current();
  const auto& folder = generation.config.server.runtimeDir;
  const bool wasThere = control_->inPlace();
  const auto owner = controlOwner(generation.account);
  auto opened = makeServerFolder(folder, owner);
  if (opened) opened = control_->open(folder / kControlSocket, owner);
  const std::string trouble = opened ? "" : opened.error().message;
  if (opened && !first && !wasThere) {
    spdlog::info("the control socket was missing: egalaxyctl can reach this server again");
  } else if (trouble != controlTrouble_ && !opened) {
    spdlog::warn("egalaxyctl cannot reach this server: {}", trouble);
  }
  controlTrouble_ = trouble;
}

std::string Master::whyRefused(const ControlPeer& peer) const {
  Commanders commanders{.owner = ::geteuid(), .group = control_->group()};
  for (const auto& [number, generation] : generations_) {
    if (generation->account) commanders.workerAccounts.push_back(generation->account->uid);
  }
  for (const auto& [key, process] : processes_) {
    commanders.workerProcesses.push_back(process->worker.pid);
  }
  return egalaxyd::whyRefused(peer, commanders);
}

void Master::onControl(ClientId client, const ControlRequest& request, const ControlPeer& peer) {
  if (request.command == "status") return control_->answer(client, describeStatus());
  if (request.command == "stats") return control_->answer(client, describeStatistics());
  if (request.command == "limits") return control_->answer(client, describeLimits());
  if (request.command == "certificates") return control_->answer(client, describeCertificates());
  const bool query = isStorageQuery(request.command);
  if (query && request.command != "forget_user") return controlQuery(client, request);
  const std::string what = request.command + (query ? " " + request.argument("id") : "");
  if (const std::string refusal = whyRefused(peer); !refusal.empty()) {
    spdlog::warn("control: \"{}\" from process {} of user {} was refused", logQuote(what), peer.pid,
                 peer.uid);
    return control_->answer(client, controlFailure(refusal));
  }
  spdlog::info("control: \"{}\" from process {} of user {}", logQuote(what), peer.pid, peer.uid);
  if (query) return controlQuery(client, request);
  if (request.command == "clear_limits") return control_->answer(client, clearLimits(request));
  if (request.command == "reload") return controlReload(client);
  if (request.command == "stop") return controlStop(client);
  if (request.command == "restart") return controlRestart(client, request);
  if (request.command == "log") return controlLog(client, request);
  control_->answer(client, controlFailure("this server knows no command " + request.command));
}

/// Answered when the new generation alone accepts, or has come to nothing.
void Master::controlReload(ClientId client) {
  if (supervisor_.stopping()) {
    return control_->answer(client, controlFailure("the server is stopping"));
  }
  reloadAsked_.push_back(client);
  perform(supervisor_.reload(Clock::now()));
}

/// Answered when all workers have ended.
void Master::controlStop(ClientId client) {
  stopAwaited_.push_back(client);
  stop();
}

/// Answered when all successors are ready.
void Master::controlRestart(ClientId client, const ControlRequest& request) {
  const std::string which = request.argument("worker");
  std::optional<std::uint32_t> number;  // none: all
  if (const auto given = parseNumber(which, 0, UINT32_MAX)) {
    number = static_cast<std::uint32_t>(*given);
  } else if (which != "all") {
    return control_->answer(client,
                            controlFailure("\"" + which + "\" is no worker: a number, or all"));
  }
  auto actions = supervisor_.restartWorkers(number, Clock::now());
  if (!actions) return control_->answer(client, controlFailure(actions.error().message));
  restartAwaited_.push_back(client);
  perform(std::move(*actions));
}

void Master::controlLog(ClientId client, const ControlRequest& request) {
  const std::string name = request.argument("level");
  const auto level = parseLogLevel(name);
  if (!level) {
    return control_->answer(
        client, controlFailure("\"" + name + "\" is no level: trace, debug, info, warn or error"));
  }
  logLevel_ = level;
  setLogLevel(*level);
  for (auto& [key, process] : processes_) {
    static_cast<void>(process->worker.channel.send(ChannelMessage::kLogLevel, name));
  }
  control_->answer(client, done());
}

Object Master::describeStatus() const {
  const auto serving = generations_.find(supervisor_.serving());
  Object answer = done();
  answer.set("version", std::string(kVersion));
  answer.set("libraries", describeLibraries());
  answer.set("pid", static_cast<std::int64_t>(::getpid()));
  answer.set("state", std::string(supervisor_.stopping()          ? "stopping"
                                  : serving == generations_.end() ? "starting"
                                                                  : "serving"));
  answer.set("started", unixTime(started_));
  answer.set(
      "uptime",
      std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - startedClock_).count());
  answer.set("generation", supervisor_.serving());
  const bool known = serving != generations_.end();
  answer.set("listeners", known ? describeListeners(serving->second->listeners) : Array());
  answer.set("workers", describeWorkers());
  answer.set("storage", describeStorage());
  if (reloadFailure_) {
    Object failure = jsonObject();
    failure.set("time", unixTime(reloadFailure_->when));
    failure.set("complaints", listOf(reloadFailure_->complaints));
    answer.set("reload_failure", failure);
  }
  return answer;
}

Array Master::describeWorkers() const {
  Array workers;
  for (const WorkerView& view : supervisor_.workers()) {
    Object object = jsonObject();
    object.set("slot", view.key.number);
    object.set("generation", view.key.generation);
    object.set("state", std::string(view.state));
    if (const Process* process = processOf(view.key)) {
      object.set("pid", static_cast<std::int64_t>(process->worker.pid));
      object.set("since", unixTime(process->since));
      object.set("age", secondsSince(process->sinceClock));
      object.set("connections", shared_->slot(process->sharedSlot).value(Gauge::kOpenConnections));
    }
    object.set("restarts", view.restarts);
    object.set("last_cause", view.lastCause);
    workers.add(object);
  }
  return workers;
}

Object Master::describeStorage() const {
  Object storage = jsonObject();
  std::string trouble = storageTrouble_;
  for (const auto& [key, process] : processes_) {
    if (!process->storageTrouble.empty()) trouble = process->storageTrouble;
  }
  storage.set("state", trouble.empty() ? "ok" : "degraded");
  if (!trouble.empty()) storage.set("error", trouble);
  return storage;
}

Object Master::describeStatistics() const {
  Object answer = done();
  answer.set(
      "uptime",
      std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - startedClock_).count());
  answer.set("generation", supervisor_.serving());
  describeShared(answer, *shared_);
  Array workers;
  for (const auto& [key, process] : processes_) {
    const WorkerSlot& slot = shared_->slot(process->sharedSlot);
    Object object = jsonObject();
    object.set("slot", key.number);
    object.set("generation", key.generation);
    object.set("pid", static_cast<std::int64_t>(process->worker.pid));
    object.set("open", slot.value(Gauge::kOpenConnections));
    object.set("totals", describeTotals(totalsOf(slot), process->before));
    // Nobody but itself may look at a worker's memory.
    const std::uint64_t memory = slot.memory.load(std::memory_order_relaxed);
    if (memory > 0) object.set("pss_kib", std::min(memory, kMostMemory));
    workers.add(object);
  }
  answer.set("workers", workers);
  if (const auto memory = MemoryUse().kib()) answer.set("master_pss_kib", *memory);
  return answer;
}

void Master::noteReloadFailure(std::vector<std::string> complaints) {
  spdlog::error("reload failed: generation {} serves on", supervisor_.serving());
  service_->ready(status());
  answerAll(reloadAwaited_, controlFailure(fmt::format("reload failed: generation {} serves on",
                                                       supervisor_.serving()),
                                           complaints));
  reloadFailure_ = ReloadFailure{std::chrono::system_clock::now(), std::move(complaints)};
}

void Master::answerAll(std::vector<ClientId>& clients, const Object& answer) {
  for (const ClientId client : std::exchange(clients, {})) control_->answer(client, answer);
}

}  // namespace egalaxyd
