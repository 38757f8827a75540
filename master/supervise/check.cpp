#include "master/supervise/check.h"

#include <fcntl.h>
#include <pwd.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <utility>

#include "common/config/log_places.h"
#include "common/system/privilege.h"
#include "master/child/shared_database.h"
#include "master/supervise/account_look.h"
#include "master/supervise/generation.h"
#include "master/supervise/program_look.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

bool may(const fs::path& path, int how) {
  return ::faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0;
}

/// Logs that the calling process could not open for writing.
Complaints lookAtLogs(const Config& config) {
  Complaints found;
  for (const LogPlace& place : logPlaces(config)) {
    if (!isLogFile(place.target)) continue;
    const fs::path file = place.target;
    if (may(file, W_OK)) continue;
    if (errno == ENOENT && may(file.parent_path(), W_OK | X_OK)) continue;
    const char* const why =
        errno == ENOENT ? "there is no such folder" : "the account that serves may not write it";
    found.push_back({place.where, fmt::format("{}: {}", file.string(), why)});
  }
  return found;
}

/// Of a master that is not root, as --as has it.
uid_t uidOf(const std::optional<Account>& account) { return account ? account->uid : ::geteuid(); }

void append(Complaints& all, Complaints more) { std::ranges::move(more, std::back_inserter(all)); }

}  // namespace

Findings checkEverything(LoadedConfig loaded, const std::optional<std::string>& as) {
  const Config config = loaded.config;
  const bool unread = !loaded.complaints.empty() && config.lines.empty();
  Findings found = everyFinding(std::move(loaded));
  if (unread) return found;
  const std::string user = as.value_or(config.server.user);
  const auto account = workerAccount(user, as ? "" : config.server.group);
  if (!account) {
    found.complaints.push_back(complaintOf(as ? "--as" : "server.user", account.error()));
    return found;
  }
  append(found.warnings, lookAs(*account, [&config] { return lookAtRoots(config); }));
  if (found.complaints.empty() && config.storage.engine != StorageKind::kSqlite) {
    Findings told;
    Config whole = config;
    readDatabaseSecrets(whole, told);
    append(found.warnings, lookAs(*account, [&whole] { return tryDatabase(whole); }));
  }
  lookAtPrograms(config, found, as ? uidOf(*account) : ::geteuid());
  // A start opens the logs as itself: without them, it fails. Another account may be the one that
  // starts, as a service manager has it.
  append(*account ? found.warnings : found.complaints,
         lookAs(*account, [&config] { return lookAtLogs(config); }));
  return found;
}

std::string whyNotAs(const std::string& as) {
  if (::geteuid() == 0) return {};
  const passwd* own = ::getpwuid(::geteuid());
  if (own != nullptr && as == own->pw_name) return {};
  return "--as " + as + ": only root can look with the eyes of another account";
}

}  // namespace egalaxyd
