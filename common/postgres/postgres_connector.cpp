#include "common/postgres/postgres_connector.h"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "common/postgres/postgres_refusal.h"
#include "common/postgres/postgres_schema.h"

namespace egalaxyd::postgres {
namespace {

/// Settings of each connection, whatever the operator's or the role's are. All that we look for has
/// an index, which a plan made while a table was empty would not use: hence no enable_seqscan. A
/// host that was frozen in a transaction holds what others wait for: the database ends it.
constexpr const char* kSettings =
    "-c synchronous_commit=on -c search_path=egalaxyd -c statement_timeout=0 -c lock_timeout=0 "
    "-c idle_in_transaction_session_timeout=5s -c client_min_messages=warning "
    "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off "
    "-c jit=off -c enable_seqscan=off";

/// The first eight digits of a WAL file's name.
std::uint32_t timelineOf(std::string_view walFile) {
  std::uint32_t timeline = 0;
  if (walFile.size() < 8) return timeline;
  std::from_chars(walFile.data(), walFile.data() + 8, timeline, 16);
  return timeline;
}

}  // namespace

Result<Connector> Connector::make(const DatabaseAccess& access, DatabaseSight& sight) {
  auto url = parseUrl(access.url);
  if (!url) return Error{ErrorCode::kInvalid, "storage.url: " + url.error().message};
  return Connector(std::move(*url), access, sight);
}

Result<Connection> Connector::connect() {
  std::string failures;
  for (std::size_t tries = url_.hosts.size(); tries > 0; --tries) {
    const Host& host = url_.hosts[next_];
    next_ = (next_ + 1) % url_.hosts.size();
    Result<Connection> connection = tryHost(host);
    if (connection || connection.error().code == ErrorCode::kInvalid) return connection;
    failures += (failures.empty() ? "" : "; ") + connection.error().message;
  }
  return Error{ErrorCode::kBusy, "the database is away: " + failures};
}

bool Connector::isOutdated() const {
  return sight_->resets() != resets_ || sight_->timeline() > timeline_;
}

Result<Connection> Connector::tryHost(const Host& host) {
  auto keywords = url_.keywords;
  keywords["host"] = host.name;
  keywords["hostaddr"] = host.isSocket() ? "" : host.address;
  keywords["port"] = host.port;
  keywords["target_session_attrs"] = "read-write";
  keywords["gssencmode"] = "disable";
  keywords["application_name"] = "egalaxyd";
  keywords["client_encoding"] = "UTF8";
  keywords["options"] = kSettings;
  if (!access_.password.empty()) keywords["password"] = access_.password;
  // Looked at before: a reset that comes while we connect is one of this connection too.
  const std::uint32_t resets = sight_->resets();
  Result<Connection> connection = Connection::open(keywords);
  if (!connection) return connection;
  if (auto looked = look(*connection); !looked) return looked.error();
  resets_ = resets;
  return connection;
}

/// Whether it is a primary that nobody has deposed as far as this host knows.
Result<void> Connector::look(Connection& connection) {
  const auto rows =
      connection.query("SELECT pg_backend_pid(), pg_walfile_name(pg_current_wal_lsn())");
  if (!rows) return Error{ErrorCode::kBusy, rows.error().message};
  if (rows->empty()) return Error{ErrorCode::kBusy, connection.server() + ": no answer"};
  // Poolers hand out numbers of their own for the server's processes.
  if (rows->integer(0, 0) != connection.backend()) return poolerBetween(connection.server());
  const std::uint32_t timeline = timelineOf(rows->text(0, 1));
  if (timeline < sight_->timeline()) {
    return Error{ErrorCode::kBusy,
                 fmt::format("{}: a primary that was replaced (timeline {}, there is {})",
                             connection.server(), timeline, sight_->timeline())};
  }
  timeline_ = timeline;
  sight_->sawTimeline(timeline);
  return refuseNewerTables(connection);
}

}  // namespace egalaxyd::postgres
