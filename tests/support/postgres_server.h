// A PostgreSQL of a test's own, made by initdb, reached by a Unix socket.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/cluster/database_engine.h"

namespace egalaxyd {

/// Where the programs of an installed server are; "" where there is none.
std::string postgresPrograms();

/// Runs as the account postgres where the test is root. Ends with this object, and with the thread
/// that started it. Failures throw.
class PostgresServer {
 public:
  /// The one of this test program, which loses what it has with the machine's power.
  static PostgresServer& shared();

  /// Settings as "name=value".
  explicit PostgresServer(std::vector<std::string> settings = {});
  /// A standby of `primary`, which waits for it under `name`.
  PostgresServer(const PostgresServer& primary, const std::string& name);
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  void start();
  /// SIGKILL to all its processes, or what else `number` is; waits until they are gone for SIGKILL.
  void signalAll(int number);
  void promote();

  /// The folder of its socket, whose port is 5432.
  const std::filesystem::path& socketFolder() const { return folder_; }
  std::string url(const std::string& database) const;
  /// A new database with egalaxyd's tables; its name.
  std::string makeDatabase();
  /// The same as an engine takes it.
  DatabaseAccess access(const std::string& database) const;
  /// Runs statements; the first column of the last one's first row.
  std::string sql(const std::string& database, const std::string& statements) const;

 private:
  void makeFolder();
  void run(std::vector<std::string> arguments) const;
  bool answers() const;

  std::filesystem::path folder_;
  std::vector<std::string> settings_;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace egalaxyd
