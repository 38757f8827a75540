#include "common/postgres/postgres_link.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/postgres/postgres_connector.h"
#include "common/postgres/postgres_handle.h"
#include "common/postgres/postgres_schema.h"

namespace egalaxyd::postgres {
namespace {

constexpr std::int64_t kMostHosts = 1000;
constexpr std::int64_t kMostCertificates = 10'000;

/// Columns of an upload as fileAt() reads them, behind the position to follow from: below it no
/// transaction is under way any more.
constexpr std::string_view kFileColumns =
    "SELECT position, id, host, path, mime, sha256, size, content FROM "
    "(SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS position) AS now LEFT JOIN ";

std::string textAt(const Rows& rows, int row, int column) {
  return std::string(rows.text(row, column));
}

SharedFile fileAt(const Rows& rows, int row) {
  SharedFile file;
  file.upload = rows.integer(row, 1);
  file.host = textAt(rows, row, 2);
  file.path = textAt(rows, row, 3);
  file.mime = textAt(rows, row, 4);
  file.sha256 = textAt(rows, row, 5);
  file.size = static_cast<std::uint64_t>(std::max<std::int64_t>(rows.integer(row, 6), 0));
  file.content = rows.integer(row, 7);
  return file;
}

SharedChanges changesOf(const Rows& rows) {
  SharedChanges changes;
  for (int row = 0; row < rows.size(); ++row) {
    changes.position = static_cast<std::uint64_t>(rows.integer(row, 0));
    if (!rows.isNull(row, 1)) changes.files.push_back(fileAt(rows, row));
  }
  return changes;
}

class PostgresLink final : public DatabaseLink {
 public:
  explicit PostgresLink(Connector connector) : connector_(std::move(connector)) {}

  Result<void> examine() override;
  Result<DatabaseFacts> facts() override;
  bool isNew() override { return std::exchange(isNew_, false); }
  Result<void> waitForChanges(std::chrono::milliseconds most, int wakeFd) override;
  Result<void> tellOfChanges() override;
  Result<SharedChanges> changesSince(std::uint64_t position) override;
  Result<SharedChanges> allFiles(const SharedFile* after, std::size_t limit) override;
  Result<std::string> readContent(std::int64_t content, std::uint64_t part) override;
  Result<void> report(const FleetHost& host) override;
  Result<std::vector<FleetHost>> fleet() override;
  Result<FleetCertificate> shareCertificate(const FleetCertificate& mine) override;
  Result<std::vector<FleetCertificate>> certificates() override;

 private:
  template <class... Values>
  Result<Rows> ask(std::string_view sql, const Values&... values) {
    if (auto ready = beReady(); !ready) return ready.error();
    Result<Rows> rows = connection_->query(sql, values...);
    if (rows) return rows;
    return away(rows.error());
  }
  /// As ask(), for what must be on the standby as well when it returns.
  template <class... Values>
  Result<Rows> write(std::string_view sql, const Values&... values) {
    if (auto ready = beReady(); !ready) return ready.error();
    connection_->clearWarning();
    Result<Rows> rows = ask(sql, values...);
    if (!rows || !connection_->warned()) return rows;
    connection_.reset();
    return Error{ErrorCode::kBusy, "the database's standby does not answer"};
  }
  Result<void> beReady();
  Error away(Error error);

  Connector connector_;
  std::optional<Connection> connection_;
  bool isNew_ = false;
};

Result<void> PostgresLink::beReady() {
  if (connection_ && connector_.isOutdated()) connection_.reset();
  if (connection_) return {};
  Result<Connection> connection = connector_.connect();
  if (!connection) return connection.error();
  connection_ = std::move(*connection);
  isNew_ = true;
  const auto listening = connection_->query("LISTEN egalaxyd_changes");
  return listening ? Result<void>() : away(listening.error());
}

/// A connection that is lost is a database that is away, for whoever has no transaction.
Error PostgresLink::away(Error error) {
  if (connection_->broke()) connection_.reset();
  if (error.code == ErrorCode::kAgain) error.code = ErrorCode::kBusy;
  return error;
}

Result<void> PostgresLink::examine() {
  if (auto ready = beReady(); !ready) return ready;
  const auto fit = checkDatabase(*connection_);
  return fit ? Result<void>() : away(fit.error());
}

Result<DatabaseFacts> PostgresLink::facts() {
  const auto rows =
      ask("SELECT (SELECT count(*) FROM pg_stat_replication), "
          "current_setting('synchronous_standby_names') <> '', "
          "(SELECT min(application_name) FROM pg_stat_replication WHERE sync_state IN ('sync', "
          "'quorum')), to_regclass('egalaxyd.schema_version') IS NOT NULL, "
          "coalesce(pg_total_relation_size(to_regclass('egalaxyd.content_parts')), 0)");
  if (!rows) return rows.error();
  DatabaseFacts facts;
  facts.server = connection_->server();
  facts.serverVersion = connection_->serverVersion();
  facts.timeline = connector_.timeline();
  if (rows->empty()) return facts;
  facts.standbys = rows->integer(0, 0);
  facts.waitsForStandby = rows->integer(0, 1) != 0;
  if (!rows->isNull(0, 2)) facts.standby = textAt(*rows, 0, 2);
  facts.contentBytes = static_cast<std::uint64_t>(rows->integer(0, 4));
  if (rows->integer(0, 3) == 0) return facts;
  const auto version = ask("SELECT version FROM egalaxyd.schema_version");
  if (!version) return version.error();
  if (!version->empty()) facts.schemaVersion = static_cast<int>(version->integer(0, 0));
  return facts;
}

Result<void> PostgresLink::waitForChanges(std::chrono::milliseconds most, int wakeFd) {
  if (auto ready = beReady(); !ready) return ready;
  const auto told = connection_->waitForNotification(most, wakeFd);
  return told ? Result<void>() : away(told.error());
}

/// Without a wait for the standby: whoever misses it looks each second anyway.
Result<void> PostgresLink::tellOfChanges() {
  if (auto ready = beReady(); !ready) return ready;
  connection_->later("BEGIN");
  connection_->later("SET LOCAL synchronous_commit = off");
  connection_->later("NOTIFY egalaxyd_changes");
  const auto told = ask("COMMIT");
  return told ? Result<void>() : told.error();
}

Result<SharedChanges> PostgresLink::changesSince(std::uint64_t position) {
  const auto rows = ask(std::string(kFileColumns) + "uploads ON latest AND xid >= $1::text::xid8",
                        std::to_string(position));
  if (!rows) return rows.error();
  return changesOf(*rows);
}

Result<SharedChanges> PostgresLink::allFiles(const SharedFile* after, std::size_t limit) {
  const SharedFile first;
  if (after == nullptr) after = &first;
  const auto rows = ask(std::string(kFileColumns) +
                            "(SELECT * FROM uploads WHERE latest AND (host, path) > ($1, $2) "
                            "ORDER BY host, path LIMIT $3) AS page ON true ORDER BY host, path",
                        after->host, after->path, static_cast<std::int64_t>(limit));
  if (!rows) return rows.error();
  return changesOf(*rows);
}

Result<std::string> PostgresLink::readContent(std::int64_t content, std::uint64_t part) {
  const auto rows = ask("SELECT bytes FROM content_parts WHERE content = $1 AND part = $2", content,
                        static_cast<std::int64_t>(part));
  if (!rows) return rows.error();
  return rows->empty() ? std::string() : textAt(*rows, 0, 0);
}

/// A row of another instance that has not been written to for three reports is one of the past.
Result<void> PostgresLink::report(const FleetHost& host) {
  const auto rows = write(
      "INSERT INTO hosts VALUES($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT (name) DO UPDATE "
      "SET version = excluded.version, generation = excluded.generation, digest = excluded.digest, "
      "instance = excluded.instance, lag = excluded.lag, started = excluded.started, seen = now() "
      "WHERE hosts.instance = excluded.instance OR hosts.seen < now() - interval '15 seconds'",
      host.name, host.version, host.generation, host.digest, host.instance, host.lag, host.started);
  if (!rows) return rows.error();
  if (rows->changed() > 0) return {};
  return Error{ErrorCode::kExists,
               fmt::format("another host calls itself {}; set storage.host", host.name)};
}

Result<std::vector<FleetHost>> PostgresLink::fleet() {
  const auto rows =
      ask("SELECT name, version, generation, digest, instance, lag, started, "
          "extract(epoch FROM seen)::bigint FROM hosts ORDER BY name LIMIT $1",
          kMostHosts);
  if (!rows) return rows.error();
  std::vector<FleetHost> hosts;
  for (int row = 0; row < rows->size(); ++row) {
    hosts.push_back({.name = textAt(*rows, row, 0),
                     .version = textAt(*rows, row, 1),
                     .generation = rows->integer(row, 2),
                     .digest = textAt(*rows, row, 3),
                     .instance = textAt(*rows, row, 4),
                     .lag = rows->integer(row, 5),
                     .started = rows->integer(row, 6),
                     .seen = rows->integer(row, 7)});
  }
  return hosts;
}

Result<FleetCertificate> PostgresLink::shareCertificate(const FleetCertificate& mine) {
  const auto made = write("INSERT INTO certificates VALUES($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                          mine.host, mine.certificate, mine.key, mine.made);
  if (!made) return made.error();
  const auto rows =
      ask("SELECT host, certificate, key, made FROM certificates WHERE host = $1", mine.host);
  if (!rows) return rows.error();
  if (rows->empty()) return Error{ErrorCode::kBusy, "the certificate has gone again"};
  return FleetCertificate{textAt(*rows, 0, 0), textAt(*rows, 0, 1), textAt(*rows, 0, 2),
                          rows->integer(0, 3)};
}

Result<std::vector<FleetCertificate>> PostgresLink::certificates() {
  const auto rows =
      ask("SELECT host, certificate, key, made FROM certificates ORDER BY host LIMIT $1",
          kMostCertificates);
  if (!rows) return rows.error();
  std::vector<FleetCertificate> all;
  for (int row = 0; row < rows->size(); ++row) {
    all.push_back({textAt(*rows, row, 0), textAt(*rows, row, 1), textAt(*rows, row, 2),
                   rows->integer(row, 3)});
  }
  return all;
}

}  // namespace

Result<std::unique_ptr<DatabaseLink>> openPostgresLink(const DatabaseAccess& access,
                                                       DatabaseSight& sight) {
  auto connector = Connector::make(access, sight);
  if (!connector) return connector.error();
  return std::unique_ptr<DatabaseLink>(std::make_unique<PostgresLink>(std::move(*connector)));
}

}  // namespace egalaxyd::postgres
