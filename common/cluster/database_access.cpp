#include "common/cluster/database_access.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/wire/machine_name.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPassword = 4096;
constexpr std::array<std::string_view, 5> kFileKeys{"sslrootcert", "sslcert", "sslkey", "sslcrl",
                                                    "sslcrldir"};

}  // namespace

Result<std::string> readDatabasePassword(const fs::path& file) {
  if (file.empty()) return std::string();
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) {
    const Error failed = errnoError(file.string(), errno);
    return Error{failed.code, failed.message +
                                  "; write the password of the role in storage.url into it, mode "
                                  "0600, for the account that starts egalaxyd"};
  }
  if ((info.st_mode & 077) != 0 || (info.st_uid != ::geteuid() && info.st_uid != 0)) {
    return Error{ErrorCode::kPermission,
                 file.string() +
                     ": others may read it or replace it: chmod 0600, and give it to "
                     "the account that starts egalaxyd"};
  }
  auto text = readRegularFile(file, kLongestPassword);
  if (!text) return Error{text.error().code, file.string() + ": " + text.error().message};
  text->resize(std::min(text->find_first_of("\r\n"), text->size()));
  if (text->empty()) return Error{ErrorCode::kInvalid, file.string() + ": its first line is empty"};
  return text;
}

DatabaseAccess databaseAccess(const StorageConfig& storage) {
  return {.url = storage.url,
          .password = storage.secret,
          .host = storage.host.empty() ? machineName() : storage.host,
          .patience = storage.patience};
}

std::vector<fs::path> databaseFiles(std::string_view url) {
  std::vector<fs::path> files;
  const auto begin = url.find('?');
  if (begin == std::string_view::npos) return files;
  for (std::string_view rest = url.substr(begin + 1); !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    if (std::ranges::find(kFileKeys, pair.substr(0, equals)) == kFileKeys.end()) continue;
    const auto path = percentDecode(pair.substr(equals + 1));
    if (path && path->starts_with('/')) files.emplace_back(*path);
  }
  return files;
}

void allowDatabase(SandboxRules& rules, const StorageConfig& storage) {
  if (storage.engine == StorageKind::kSqlite) return;
  const auto engine = loadDatabaseEngine();
  if (!engine) return;
  rules.outgoing = OutgoingRules{(*engine)->ports(storage.url)};
  std::ranges::move(databaseFiles(storage.url), std::back_inserter(rules.readable));
  // libpq asks who it is, and OpenSSL for the authorities that the system trusts.
  for (const char* path : {"/etc/passwd", "/etc/nsswitch.conf", "/etc/ssl/certs"}) {
    rules.readable.emplace_back(path);
  }
}

}  // namespace egalaxyd
