// Which launchers a configuration needs, and what each of them may run and call.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "common/config/findings.h"
#include "common/shared/launcher_plan.h"
#include "common/system/script_account.h"

namespace egalaxyd {

/// One launcher that is to be kept.
struct WantedLauncher {
  ScriptAccount account;
  LauncherPlan plan;
};

/// What the plans take from the machine; a test replaces it.
struct LauncherSources {
  /// What scriptAccount() says of an account as the configuration names it.
  std::function<Result<ScriptAccount>(const std::string& configured)> account;
  /// The server's own variable; nullopt: it is not set.
  std::function<std::optional<std::string>(const std::string& name)> variable;

  static LauncherSources ofProcess(const ServerConfig& server);
};

/// One for each of scriptAccounts(config), in that order; none where no mount needs any. The first
/// calls the applications. An account that cannot be had is a complaint. `config` has its folders.
std::vector<WantedLauncher> wantedLaunchers(const Config& config, const LauncherSources& sources,
                                            Complaints& complaints);

}  // namespace egalaxyd
