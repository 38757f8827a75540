// A reload's first half, in a process of its own: everything that may wait for a disk, a mount, a
// name server or a database is done there, so that what the master does next waits for nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config_loader.h"
#include "master/supervise/listener_set.h"
#include "worker/worker.h"

namespace egalaxyd {

/// The result of a rehearsal.
struct Rehearsal {
  struct LogLine {
    std::string level;
    std::string text;
  };
  Complaints complaints;         ///< none: the generation may be built
  ResolvedNames names;           ///< those in the configuration's addresses
  std::string storageTrouble;    ///< Generation::storageTrouble
  std::vector<LogLine> log;      ///< what was logged there
  std::string databaseUrl = {};  ///< StorageConfig::url with addresses
  bool databaseIsReady = false;  ///< Generation::databaseIsReady

  /// As text, to be passed from the rehearsing process to the master.
  std::string encode() const;
  static Result<Rehearsal> decode(std::string_view text);
};

/// Loads the configuration, makes missing certificates, opens and reads what it names, prepares the
/// database, and resolves the names of addresses that `previous` does not hold. `kept` as in
/// buildServingPlan(). Blocking: for a process that ends with it.
Rehearsal rehearse(const std::function<LoadedConfig()>& load, const ListenerSet& previous,
                   const ServingPlan* kept = nullptr);

}  // namespace egalaxyd
