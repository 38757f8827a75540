// What the module offers; see common/cluster/database_engine.h.
#include <filesystem>
#include <string>
#include <utility>

#include "common/cluster/database_engine.h"
#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_connector.h"
#include "common/postgres/postgres_link.h"
#include "common/postgres/postgres_schema.h"
#include "common/postgres/postgres_storage.h"
#include "common/postgres/postgres_url.h"
#include "common/postgres/storage_copy.h"

namespace egalaxyd::postgres {
namespace {

Result<Connection> connectOnce(const DatabaseAccess& access) {
  OwnSight sight;
  auto connector = Connector::make(access, sight);
  return connector ? connector->connect() : connector.error();
}

/// For what reads whole tables.
Result<Connection> connectForAll(const DatabaseAccess& access) {
  auto connection = connectOnce(access);
  if (!connection) return connection;
  if (auto set = connection->runScript("SET enable_seqscan = on"); !set) return set.error();
  return connection;
}

class PostgresEngine final : public DatabaseEngine {
 public:
  Result<void> checkUrl(std::string_view url) const override {
    const auto parsed = parseUrl(url);
    return parsed ? Result<void>() : parsed.error();
  }

  Result<std::string> resolve(std::string_view url) const override {
    const auto parsed = parseUrl(url);
    if (!parsed) return parsed.error();
    const auto with = resolved(*parsed);
    if (!with) return with.error();
    return toString(*with);
  }

  std::vector<std::uint16_t> ports(std::string_view url) const override {
    const auto parsed = parseUrl(url);
    return parsed ? tcpPorts(*parsed) : std::vector<std::uint16_t>();
  }

  Result<void> migrate(const DatabaseAccess& access) const override {
    auto connection = connectOnce(access);
    if (!connection) return connection.error();
    if (auto fit = checkDatabase(*connection); !fit) return fit;
    return makeTables(*connection);
  }

  Result<std::unique_ptr<Storage>> openStorage(const DatabaseAccess& access, std::string_view lane,
                                               const StorageLimits& limits,
                                               DatabaseSight& sight) const override {
    return openPostgresStorage(access, lane, limits, sight);
  }

  Result<std::unique_ptr<DatabaseLink>> openLink(const DatabaseAccess& access,
                                                 DatabaseSight& sight) const override {
    return openPostgresLink(access, sight);
  }

  Result<CopiedRows> copyFrom(const DatabaseAccess& access, const std::filesystem::path& file,
                              bool merge, UploadFolders& folders) const override {
    auto connection = connectForAll(access);
    if (!connection) return connection.error();
    const std::string source = access.host + ":" + file.string();
    return copyFromSqlite(*connection, file, source, merge, folders);
  }

  Result<CopiedRows> copyTo(const DatabaseAccess& access,
                            const std::filesystem::path& file) const override {
    auto connection = connectForAll(access);
    return connection ? copyToSqlite(*connection, file) : connection.error();
  }
};

}  // namespace
}  // namespace egalaxyd::postgres

extern "C" __attribute__((visibility("default"))) const egalaxyd::DatabaseEngine*
egalaxyd_database_engine() {
  static const egalaxyd::postgres::PostgresEngine engine;
  return &engine;
}
