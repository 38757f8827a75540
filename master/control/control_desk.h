// What the control socket is asked for, and who is told when it is done.
#pragma once

#include <Poco/JSON/Object.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/event_loop.h"
#include "common/shared/fault_ring.h"
#include "common/wire/control_protocol.h"
#include "master/child/query_runner.h"
#include "master/control/control_server.h"
#include "master/control/managed_master.h"
#include "master/control/status_report.h"

namespace egalaxyd {

/// Master only, on its loop; never waits. Every client that asks is answered once, or has gone.
class ControlDesk {
 public:
  using ClientId = ControlServer::ClientId;
  /// nullopt: it follows, by the client's id.
  using Answer = std::optional<Poco::JSON::Object>;

  /// To be destroyed once the loop runs no more. `master` outlives it.
  ControlDesk(EventLoop& loop, ManagedMaster& master);

  /// Makes the socket in the run-time folder, for the group of the generation that serves. Serving
  /// matters more than being managed: what fails is logged, once, and is to be tried again.
  void open();
  /// open() where somebody has removed the socket.
  void keepOpen();

  /// Does what `peer` asks for, if it may.
  Answer answer(ClientId client, const ControlRequest& request, const ControlPeer& peer);

  // The master tells how things go on. Whoever waits for that is answered.
  /// Who asks for a reload from now on waits for the next one.
  void reloadBegins();
  /// `renewal`: it was a mere renewal of certificates (ManagedMaster::renew).
  void reloadSucceeded(std::uint64_t generation, bool renewal = false);
  /// The generation that served serves on. `status` tells of a reload until one succeeds.
  void reloadFailed(std::vector<std::string> complaints, bool renewal = false);
  /// `failure` is "" when all workers were replaced.
  void restartEnded(const std::string& failure);
  /// All workers have ended: the last call.
  void stopped();

  /// What the status page shows; `own` are the master's faults.
  Poco::JSON::Object figures(const FaultRing& own) const;

  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  using Waiting = std::vector<ClientId>;
  struct Row;
  static const Row* rowOf(const std::string& command);

  std::string whyRefused(const ControlPeer& peer) const;
  Answer query(ClientId client, const ControlRequest& request);
  Answer content(ClientId client, const ControlRequest& request);
  Answer restore(ClientId client, const ControlRequest& request);
  Answer backup(ClientId client);
  Answer fleet(ClientId client);
  Answer askInProcess(ClientId client, const QueryRunner::Work& ask);
  void answerWith(ClientId client, const Result<std::string>& line);
  Answer reload(ClientId client, void (ManagedMaster::*begin)());
  Answer restart(ClientId client, const ControlRequest& request);
  Answer listScripts(ClientId client);
  Answer stopScript(ClientId client, const ControlRequest& request);
  Answer stop(ClientId client);
  Poco::JSON::Object changeLogLevel(const ControlRequest& request);
  void await(Waiting& waiting, ClientId client);
  void answerAll(Waiting& waiting, const Poco::JSON::Object& answer);

  ManagedMaster& master_;
  ControlServer server_;
  QueryRunner queries_;
  QueryRunner restores_;  ///< which write files, large ones maybe
  QueryRunner backups_;
  bool opened_ = false;    ///< once
  std::string trouble_;    ///< why egalaxyctl cannot reach us; "": it can
  Waiting reloadAsked_;    ///< for the next reload to begin
  Waiting reloadAwaited_;  ///< for the one under way
  Waiting restartAwaited_;
  Waiting stopAwaited_;
  std::optional<ReloadFailure> reloadFailure_;  ///< of the last reload
};

}  // namespace egalaxyd
