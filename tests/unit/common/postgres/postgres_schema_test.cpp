// How the tables are brought to a version, while programs of several versions run.
#include "common/postgres/postgres_schema.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <string>
#include <vector>

#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_connector.h"
#include "tests/support/deadline.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/common/storage/storage_samples.h"

extern "C" const egalaxyd::DatabaseEngine* egalaxyd_database_engine();

namespace egalaxyd {
namespace {

using postgres::Connection;
using postgres::SchemaSteps;

/// As the next program has them.
std::array<const char*, 2> nextSteps() {
  return {postgres::ownSteps().front(), "ALTER TABLE egalaxyd.users ADD COLUMN colour text"};
}

class PostgresSchema : public testing::Test {
 protected:
  std::string emptyDatabase() {
    static int number = 0;
    const std::string name = "schema" + std::to_string(++number);
    server_.sql("postgres", "CREATE DATABASE " + name +
                                " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'");
    return name;
  }
  Connection connect(const std::string& database) {
    return must(must(postgres::Connector::make(server_.access(database), sight_)).connect());
  }
  Result<void> migrate(const std::string& database, SchemaSteps steps) {
    Connection connection = connect(database);
    return makeTables(connection, steps);
  }
  std::string version(const std::string& database) {
    return server_.sql(database, "SELECT version || '/' || oldest FROM egalaxyd.schema_version");
  }

  PostgresServer& server_ = PostgresServer::shared();
  const DatabaseEngine& engine_ = *egalaxyd_database_engine();
  OwnSight sight_;
};

TEST_F(PostgresSchema, ProgramsOfTwoVersionsMakeTheTablesAtOnce) {
  const std::string database = emptyDatabase();
  const auto next = nextSteps();
  std::vector<Connection> connections;
  for (int i = 0; i < 6; ++i) connections.push_back(connect(database));
  std::vector<std::future<Result<void>>> all;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    all.push_back(std::async(std::launch::async, [&connections, &next, i] {
      return makeTables(connections[i], i % 2 == 0 ? SchemaSteps(next) : postgres::ownSteps());
    }));
  }
  for (auto& each : all) must(each.get());
  EXPECT_EQ(version(database), "2/1");
}

TEST_F(PostgresSchema, AProgramRunsWithWhatALaterOneHasAdded) {
  const std::string database = server_.makeDatabase();
  must(migrate(database, nextSteps()));
  must(engine_.migrate(server_.access(database)));
  EXPECT_EQ(version(database), "2/1") << "it stays as it is";
  auto storage = must(engine_.openStorage(server_.access(database), "0", {}, sight_));
  must(storage->resolveUser(fingerprint("a"), fingerprint("1"), at(1)));
}

TEST_F(PostgresSchema, AProgramThatIsTooOldNeitherReadsNorWrites) {
  const std::string database = server_.makeDatabase();
  server_.sql(database, "UPDATE egalaxyd.schema_version SET version = 3, oldest = 2");
  const auto access = server_.access(database);
  const auto told = [](const auto& refused) {
    return !refused && refused.error().code == ErrorCode::kInvalid &&
           refused.error().message.find(
               "newer egalaxyd (version 3, this program knows 1); upgrade") != std::string::npos;
  };
  EXPECT_TRUE(told(engine_.migrate(access)));
  EXPECT_TRUE(told(engine_.openStorage(access, "0", {}, sight_)));
  const auto link = must(engine_.openLink(access, sight_));
  EXPECT_TRUE(told(link->examine()));
  EXPECT_TRUE(told(link->report({"h1", "1.0", 1, "ab", "i1", 0, 100, 0})));
  EXPECT_TRUE(told(link->allFiles(nullptr, 1)));
  EXPECT_EQ(server_.sql(database,
                        "SELECT (SELECT count(*) FROM egalaxyd.lanes) + (SELECT count(*) "
                        "FROM egalaxyd.hosts)"),
            "0");
}

TEST_F(PostgresSchema, WhoeverHoldsALockIsNotWaitedForForLong) {
  const std::string database = server_.makeDatabase();
  const auto next = nextSteps();
  Connection reader = connect(database);
  must(reader.query("BEGIN"));
  must(reader.query("SELECT count(*) FROM egalaxyd.users"));
  const auto refused = migrate(database, next);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_NE(refused.error().message.find("holds a lock on them; try again"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(version(database), "1/1") << "as a whole or not at all";
  must(reader.query("COMMIT"));
  must(migrate(database, next));
  EXPECT_EQ(version(database), "2/1");
}

TEST_F(PostgresSchema, AVersionThatNobodyHadIsNotBuiltUpon) {
  const std::string database = server_.makeDatabase();
  server_.sql(database, "UPDATE egalaxyd.schema_version SET version = 0");
  const auto refused = engine_.migrate(server_.access(database));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("restore a backup"), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd
