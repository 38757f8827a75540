#include "tests/support/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>

#include "common/cluster/own_sight.h"
#include "common/postgres/postgres_connector.h"
#include "common/postgres/postgres_schema.h"
#include "tests/support/deadline.h"

namespace egalaxyd {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSuperuser = "egalaxyd";

/// In the child: from root to an account that PostgreSQL accepts.
void becomePostgres(const passwd* account) {
  if (account == nullptr) return;
  if (::setgroups(0, nullptr) != 0 || ::setgid(account->pw_gid) != 0 ||
      ::setuid(account->pw_uid) != 0) {
    ::_exit(126);
  }
}

const passwd* accountToBe() {
  if (::geteuid() != 0) return nullptr;
  const passwd* account = ::getpwnam("postgres");
  if (account == nullptr) throw std::runtime_error("there is no account postgres");
  return account;
}

pid_t startAs(std::vector<std::string> arguments, const fs::path& log) {
  std::vector<char*> pointers;
  for (std::string& each : arguments) pointers.push_back(each.data());
  pointers.push_back(nullptr);
  const passwd* account = accountToBe();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  becomePostgres(account);
  // Behind the change of the account, which would take it back.
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (::getppid() != parent) ::_exit(125);
  if (::chdir("/") != 0) ::_exit(124);
  ::setpgid(0, 0);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

std::string readLog(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A dead one that nobody has waited for is none: process 1 may never wait for orphans.
bool isAlive(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(in, stat);
  const auto name = stat.rfind(") ");
  return name != std::string::npos && stat[name + 2] != 'Z';
}

/// The processes that have `parent`.
std::vector<pid_t> childrenOf(pid_t parent) {
  std::vector<pid_t> children;
  const auto file =
      fs::path("/proc") / std::to_string(parent) / "task" / std::to_string(parent) / "children";
  std::ifstream in(file);
  for (pid_t child = 0; in >> child;) children.push_back(child);
  return children;
}

}  // namespace

std::string postgresPrograms() {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const fs::path programs = version.path() / "bin";
    if (fs::exists(programs / "initdb") && fs::exists(programs / "postgres")) {
      found.push_back(programs.string());
    }
  }
  return found.empty() ? "" : *std::max_element(found.begin(), found.end());
}

PostgresServer& PostgresServer::shared() {
  static PostgresServer server({"fsync=off", "synchronous_commit=off", "full_page_writes=off"});
  return server;
}

PostgresServer::PostgresServer(std::vector<std::string> settings) : settings_(std::move(settings)) {
  makeFolder();
  run({"initdb", "-D", (folder_ / "data").string(), "-U", kSuperuser, "-A", "trust", "-E", "UTF8",
       "--locale=C", "--no-sync", "--no-instructions"});
  start();
}

PostgresServer::PostgresServer(const PostgresServer& primary, const std::string& name)
    : settings_(primary.settings_) {
  makeFolder();
  const std::string source =
      "host=" + primary.folder_.string() + " user=" + kSuperuser + " application_name=" + name;
  run({"pg_basebackup", "-D", (folder_ / "data").string(), "-d", source, "-R", "-c", "fast",
       "--no-sync"});
  start();
}

PostgresServer::~PostgresServer() {
  if (pid_ > 0) {
    ::kill(pid_, SIGCONT);
    ::kill(pid_, SIGQUIT);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void PostgresServer::makeFolder() {
  std::string name = "/tmp/egalaxyd-pg-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  folder_ = name;
  const passwd* account = accountToBe();
  if (account != nullptr && ::chown(name.c_str(), account->pw_uid, account->pw_gid) != 0) {
    throw std::runtime_error("chown " + name);
  }
}

void PostgresServer::run(std::vector<std::string> arguments) const {
  const std::string name = arguments[0];
  arguments[0] = postgresPrograms() + "/" + name;
  const pid_t child = startAs(std::move(arguments), folder_ / "log");
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error(name + " failed: " + readLog(folder_ / "log"));
}

void PostgresServer::start() {
  std::vector<std::string> arguments{postgresPrograms() + "/postgres",
                                     "-D",
                                     (folder_ / "data").string(),
                                     "-c",
                                     "listen_addresses=",
                                     "-c",
                                     "unix_socket_directories=" + folder_.string(),
                                     "-c",
                                     "shared_buffers=16MB",
                                     "-c",
                                     "max_connections=50"};
  for (const std::string& setting : settings_) {
    arguments.push_back("-c");
    arguments.push_back(setting);
  }
  pid_ = startAs(std::move(arguments), folder_ / "log");
  if (!eventually([&] { return answers(); })) {
    throw std::runtime_error("PostgreSQL does not start: " + readLog(folder_ / "log"));
  }
}

bool PostgresServer::answers() const {
  if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
    throw std::runtime_error("PostgreSQL ended: " + readLog(folder_ / "log"));
  }
  return PQping(("host=" + folder_.string() + " port=5432").c_str()) == PQPING_OK;
}

void PostgresServer::signalAll(int number) {
  // First, so that it makes no more of them.
  if (number != SIGCONT) ::kill(pid_, SIGSTOP);
  const std::vector<pid_t> children = childrenOf(pid_);
  ::kill(pid_, number);
  for (const pid_t child : children) ::kill(child, number);
  if (number != SIGKILL) return;
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  for (const pid_t child : children) eventually([&] { return !isAlive(child); });
  std::error_code ignored;
  fs::remove(folder_ / "data" / "postmaster.pid", ignored);
}

void PostgresServer::promote() {
  run({"pg_ctl", "-D", (folder_ / "data").string(), "promote", "-w"});
}

std::string PostgresServer::url(const std::string& database) const {
  return "postgresql://" + std::string(kSuperuser) + "@/" + database + "?host=" + folder_.string();
}

DatabaseAccess PostgresServer::access(const std::string& database) const {
  DatabaseAccess access;
  access.url = url(database);
  access.host = "h1";
  return access;
}

std::string PostgresServer::makeDatabase() {
  if (databases_ == 0) {
    sql("postgres", "CREATE DATABASE fresh TEMPLATE template0");
    OwnSight sight;
    auto connector = postgres::Connector::make(access("fresh"), sight);
    if (!connector) throw std::runtime_error(connector.error().message);
    auto connection = connector->connect();
    if (!connection) throw std::runtime_error(connection.error().message);
    const auto made = postgres::makeTables(*connection);
    if (!made) throw std::runtime_error(made.error().message);
  }
  const std::string name = "d" + std::to_string(++databases_);
  sql("postgres", "CREATE DATABASE " + name + " TEMPLATE fresh");
  return name;
}

std::string PostgresServer::sql(const std::string& database, const std::string& statements) const {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(url(database).c_str()),
                                                                PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(
      PQexec(connection.get(), statements.c_str()), PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    throw std::runtime_error(statements + ": " + PQerrorMessage(connection.get()));
  }
  return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

}  // namespace egalaxyd
