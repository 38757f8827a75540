// egalaxyctl against a running server.
#include <Poco/JSON/Array.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "tests/blackbox/ask_json.h"
#include "tests/support/capsule.h"
#include "tests/support/control_client.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;
using testing::HasSubstr;

class Control : public testing::Test {
 protected:
  void SetUp() override { capsule.page("index.gmi", "# One\n"); }

  Finished ctl(const std::vector<std::string>& words) const { return capsule.ctl(words); }
  Object::Ptr json(const std::vector<std::string>& words) const { return askJson(capsule, words); }
  std::uint64_t total(const std::string& name) const {
    return json({"stats"})->getObject("totals")->getValue<std::uint64_t>(name);
  }

  Capsule capsule;
};

TEST_F(Control, ChecksTheFileThatTheServerUses) {
  capsule.start();
  const std::string file = capsule.configFile().string();
  EXPECT_EQ(json({"status"})->getValue<std::string>("configuration"), file);
  const Finished good = ctl({"check"});
  EXPECT_EQ(good.status.code, 0) << good.all();
  EXPECT_THAT(good.err, HasSubstr("checking " + file + ", which the running server uses"));
  capsule.dir().write("egalaxyd.toml", "workrs = 2\n");
  // Elsewhere there may be another file, which is not the server's.
  capsule.dir().write("elsewhere/egalaxyd.toml", "[sites.a]\nroot = \".\"\n");
  const Finished bad =
      runProgram({programPath("egalaxyctl"), "--socket", capsule.controlSocket().string(), "check"},
                 capsule.dir() / "elsewhere");
  EXPECT_EQ(bad.status.code, 78) << bad.all();
  EXPECT_THAT(bad.err, HasSubstr("workrs"));
}

TEST_F(Control, ChecksNothingForAServerWithoutAFile) {
  capsule.startWith(
      {"--gemini", "127.0.0.1:0", "--spartan", "off", "--state-dir",
       (capsule.dir() / "state").string(), "--runtime-dir", (capsule.dir() / "run").string()},
      capsule.root());
  const Finished none = ctl({"check"});
  EXPECT_EQ(none.status.code, 0) << none.all();
  EXPECT_THAT(none.err, HasSubstr("no configuration file"));
  EXPECT_THAT(ctl({"status"}).out, HasSubstr("no configuration file\n"));
}

TEST_F(Control, ChecksTheFolderItIsInWithoutAServer) {
  if (!noServerOfTheSystemRuns()) GTEST_SKIP() << "a server runs here, or may";
  capsule.dir().write("elsewhere/egalaxyd.toml", "workrs = 2\n");
  const std::map<std::string, std::string> nowhere = {
      {"RUNTIME_DIRECTORY", (capsule.dir() / "no-run").string()},
      {"STATE_DIRECTORY", (capsule.dir() / "no-state").string()}};
  const Finished checked =
      runProgram({programPath("egalaxyctl"), "check"}, capsule.dir() / "elsewhere", nowhere);
  EXPECT_EQ(checked.status.code, 78) << checked.all();
  EXPECT_THAT(checked.err, HasSubstr("no server runs: checking " +
                                     (capsule.dir() / "elsewhere/egalaxyd.toml").string()));
  // A socket that is named is meant.
  EXPECT_EQ(ctl({"check"}).status.code, 69);
}

TEST_F(Control, StatusTellsWhatRuns) {
  capsule.start();
  const auto status = json({"status"});
  EXPECT_EQ(status->getValue<std::string>("state"), "serving");
  EXPECT_EQ(status->getValue<int>("generation"), 1);
  EXPECT_EQ(status->getValue<pid_t>("pid"), capsule.masterPid());
  EXPECT_EQ(status->getArray("listeners")->getObject(0)->getValue<std::string>("address"),
            "127.0.0.1:" + std::to_string(capsule.port()));
  EXPECT_EQ(status->getObject("storage")->getValue<std::string>("state"), "ok");
  const auto libraries = status->getObject("libraries");
  const auto openssl = libraries->getValue<std::string>("openssl");
  const auto sqlite = libraries->getValue<std::string>("sqlite");
  EXPECT_EQ(openssl, OpenSSL_version(OPENSSL_VERSION_STRING));
  EXPECT_EQ(sqlite, sqlite3_libversion());
  std::vector<pid_t> pids;
  for (const auto& each : *status->getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    EXPECT_EQ(worker->getValue<std::string>("state"), "ready");
    pids.push_back(worker->getValue<pid_t>("pid"));
  }
  EXPECT_THAT(pids, testing::UnorderedElementsAreArray(capsule.workerPids()));
  const Finished text = ctl({"status"});
  EXPECT_THAT(text.out, HasSubstr("serving, generation 1"));
  EXPECT_THAT(text.out, HasSubstr("with OpenSSL " + openssl + " and SQLite " + sqlite + "\n"));
  EXPECT_THAT(text.out, HasSubstr("last cause"));
}

TEST_F(Control, ReloadAnswersWhenTheNewSitesAloneAreServed) {
  capsule.start();
  for (int i = 0; i < 20; ++i) {
    const std::string page = "# Version " + std::to_string(i) + "\n";
    const std::string root = "root" + std::to_string(i);
    capsule.dir().write(root + "/index.gmi", page);
    capsule.sites("[sites.\"localhost\"]\nroot = \"" + root + "\"\n");
    capsule.writeConfig();
    const Finished reload = ctl({"reload"});
    ASSERT_EQ(reload.status.code, 0) << reload.all();
    for (int k = 0; k < 4; ++k) ASSERT_EQ(capsule.get("/").body, page);
  }
}

TEST_F(Control, RestartsOneWorker) {
  capsule.start();
  const std::vector<pid_t> before = capsule.workerPids();
  EXPECT_EQ(ctl({"worker", "restart", "1"}).status.code, 0);
  EXPECT_TRUE(eventually([&] { return capsule.workerPids().size() == 2; })) << capsule.log();
  const std::vector<pid_t> after = capsule.workerPids();
  EXPECT_EQ(std::count_if(after.begin(), after.end(),
                          [&](pid_t pid) { return std::count(before.begin(), before.end(), pid); }),
            1);
  const Finished wrong = ctl({"worker", "restart", "2"});
  EXPECT_EQ(wrong.status.code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("they are 0 to 1"));
  EXPECT_EQ(ctl({"worker", "restart", "one"}).status.code, 1);
}

TEST_F(Control, TotalsNeverGoBackwards) {
  capsule.start();
  std::uint64_t last = 0;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(capsule.get("/").status, 20);
    EXPECT_TRUE(eventually([&] { return total("requests") > last; }));
    EXPECT_EQ(total("requests"), last + 1);
    last = total("requests");
    if (i == 0) {
      EXPECT_EQ(ctl({"reload"}).status.code, 0);
    }
    if (i == 1) {
      EXPECT_EQ(ctl({"worker", "restart", "all"}).status.code, 0);
    }
    if (i == 2) {
      const std::size_t mark = capsule.logMark();
      capsule.killWorker(0);
      ASSERT_TRUE(capsule.waitForLog("replaced", mark));
      EXPECT_EQ(total("requests"), last);
    }
  }
}

TEST_F(Control, ReplacesAWorkerWhoseLoopHangs) {
  capsule.set("server.workers", "1");
  capsule.start();
  const pid_t worker = capsule.workerPids().at(0);
  ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  EXPECT_TRUE(capsule.waitForLog("has not moved for 15 s: killed")) << capsule.log();
  EXPECT_EQ(capsule.get("/").status, 20);
  const auto status = json({"status"})->getArray("workers")->getObject(0);
  EXPECT_NE(status->getValue<pid_t>("pid"), worker);
  EXPECT_THAT(status->getValue<std::string>("last_cause"), HasSubstr("SIGKILL"));
  EXPECT_EQ(status->getValue<int>("restarts"), 1);
}

TEST_F(Control, ChangesTheLogLevelOfAllProcesses) {
  capsule.start();
  EXPECT_EQ(ctl({"log", "debug"}).status.code, 0);
  const std::size_t mark = capsule.logMark();
  EXPECT_EQ(ctl({"worker", "restart", "0"}).status.code, 0);
  EXPECT_TRUE(capsule.waitForLog("debug master", mark)) << capsule.log();
  EXPECT_TRUE(capsule.waitForLog("debug worker 0", mark)) << capsule.log();
  const Finished wrong = ctl({"log", "inof"});
  EXPECT_EQ(wrong.status.code, 64);
  EXPECT_THAT(wrong.err, HasSubstr("trace, debug, info, warn, error; did you mean info?"));
}

TEST_F(Control, StopAnswersWhenAllHaveEnded) {
  capsule.start();
  EXPECT_EQ(ctl({"stop"}).status.code, 0);
  const auto status = capsule.process().wait();
  ASSERT_TRUE(status) << capsule.log();
  EXPECT_EQ(status->code, 0);
  EXPECT_FALSE(std::filesystem::exists(capsule.dir() / "run/control.sock"));
  const Finished none = ctl({"status"});
  EXPECT_EQ(none.status.code, 69);
  EXPECT_THAT(none.err, HasSubstr("no server answers"));
}

TEST_F(Control, PrometheusAcceptsTheStatistics) {
  if (!isInstalled("promtool")) GTEST_SKIP() << "promtool is missing (package prometheus)";
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  const Finished stats = ctl({"stats", "--format", "prometheus"});
  ASSERT_EQ(stats.status.code, 0) << stats.all();
  capsule.dir().write("metrics", stats.out);
  const Finished check =
      runProgram({"sh", "-c", "promtool check metrics < metrics"}, capsule.dir().path());
  EXPECT_EQ(check.status.code, 0) << check.all() << stats.out;
}

TEST_F(Control, StatisticsComeInThreeForms) {
  capsule.start();
  EXPECT_EQ(capsule.get("/").status, 20);
  EXPECT_TRUE(eventually([&] { return total("requests") > 0; }));
  EXPECT_THAT(ctl({"stats"}).out, testing::ContainsRegex("requests +1 "));
  EXPECT_THAT(ctl({"stats", "--format", "prometheus"}).out,
              HasSubstr("\negalaxyd_requests_total 1\n"));
  EXPECT_THAT(ctl({"stats", "--format", "json"}).out, HasSubstr("\"requests\": 1"));
  EXPECT_EQ(ctl({"stats", "--format", "xml"}).status.code, 64);
  EXPECT_EQ(ctl({"stats", "--watch=0"}).status.code, 64);
}

TEST_F(Control, StatisticsTellWhenCertificatesEnd) {
  makeTestCertificate({.toDays = 20}).writePem(capsule.dir() / "a.crt", capsule.dir() / "a.key");
  capsule.sites(
      "[sites.localhost]\nroot = \"root\"\n[sites.\"soon.test\"]\nroot = \"root\"\n"
      "aliases = [\"*.soon.test\"]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n");
  capsule.start();
  EXPECT_TRUE(capsule.logContains("a.crt: the certificate ends at 2"));
  EXPECT_TRUE(capsule.logContains("a.crt does not name soon.test and 1 more: clients"));
  const std::string name = "\negalaxyd_certificate_not_after_timestamp_seconds";
  const std::string text = ctl({"stats", "--format", "prometheus"}).out;
  EXPECT_THAT(text, HasSubstr(name + "{host=\"localhost\"} 67090118400\n"));  // in the year 4096
  const auto soon = text.find(name + "{host=\"*.soon.test\"} ");
  ASSERT_NE(soon, std::string::npos) << text;
  const auto end = std::stoll(text.substr(text.find("} ", soon) + 2));
  EXPECT_NEAR(static_cast<double>(end - ::time(nullptr)), 20 * 86'400, 86'400);
}

/// Root may enter closed folders: here it does without that.
TEST(ControlClient, SaysHowToGetTheRightToASocketThatIsClosedToIt) {
  if (!noServerOfTheSystemRuns()) GTEST_SKIP() << "a server runs here, or may";
  const TempDir dir;
  std::filesystem::create_directory(dir / "closed");
  std::vector<std::string> command{programPath("egalaxyctl"), "status"};
  std::string advice = "use sudo";
  if (::geteuid() == 0) {
    const group* other = ::getgrgid(65'534);
    ASSERT_NE(other, nullptr);
    ASSERT_EQ(::chown((dir / "closed").c_str(), 0, other->gr_gid), 0);
    advice += fmt::format(", or join its group with \"sudo usermod -aG {} root\"", other->gr_name);
    command.insert(command.begin(), {"setpriv", "--bounding-set=-dac_override,-dac_read_search"});
  }
  std::filesystem::permissions(dir / "closed", std::filesystem::perms::none);
  const auto closed = (dir / "closed").string();
  const Finished found = runProgram(command, dir.path(), {{"RUNTIME_DIRECTORY", closed}});
  command.insert(command.end(), {"--socket", closed + "/control.sock"});
  const Finished named = runProgram(command, dir.path());
  std::filesystem::permissions(dir / "closed", std::filesystem::perms::owner_all);
  for (const Finished& each : {found, named}) {
    EXPECT_EQ(each.status.code, 77) << each.all();
    EXPECT_THAT(each.err, testing::AllOf(HasSubstr("may not use " + closed + "/control.sock"),
                                         HasSubstr(advice)));
    EXPECT_THAT(each.err, testing::Not(HasSubstr("no server")));
  }
}

TEST_F(Control, ComesBackWhenItsFolderWasRemoved) {
  capsule.start();
  std::filesystem::remove_all(capsule.controlSocket().parent_path());
  EXPECT_TRUE(eventually([&] { return capsule.ctl({"status"}).status.code == 0; }))
      << capsule.log();
  EXPECT_EQ(capsule.ctl({"reload"}).status.code, 0);
}

/// What the server answers to a process of that account.
std::string answerTo(const std::filesystem::path& socket, const std::string& command, uid_t user,
                     gid_t group, const std::vector<gid_t>& others) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::string answer = "no such account";
    if (::setgroups(others.size(), others.data()) == 0 && ::setgid(group) == 0 &&
        ::setuid(user) == 0) {
      ControlClient client(socket);
      client.send("{\"v\":1,\"command\":\"" + command + "\"}\n");
      answer = client.connected() ? client.line() : "not let in";
    }
    ::_exit(::write(ends[1], answer.data(), answer.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string answer(4096, '\0');
  const ssize_t got = ::read(ends[0], answer.data(), answer.size());
  answer.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  return answer;
}

TEST_F(Control, IsForMembersOfItsGroupAndNotForTheWorkersAccount) {
  const passwd* workers = ::getpwnam("nobody");
  if (::geteuid() != 0 || workers == nullptr) GTEST_SKIP() << "only root becomes other accounts";
  constexpr uid_t kOperator = 54321;
  constexpr gid_t kUsers = 54321;
  capsule.set("server.user", "\"nobody\"");
  std::filesystem::permissions(capsule.dir().path(), std::filesystem::perms(0755));
  capsule.start();
  const auto ask = [&](const char* command, uid_t user, gid_t group, std::vector<gid_t> others) {
    return answerTo(capsule.controlSocket(), command, user, group, others);
  };
  EXPECT_THAT(ask("status", kOperator, kUsers, {workers->pw_gid}), HasSubstr("\"ok\":true"));
  EXPECT_THAT(ask("reload", kOperator, kUsers, {workers->pw_gid}), HasSubstr("\"ok\":true"));
  EXPECT_THAT(ask("reload", kOperator, workers->pw_gid, {}), HasSubstr("\"ok\":true"));
  EXPECT_EQ(ask("status", kOperator, kUsers, {}), "not let in");

  const std::size_t mark = capsule.logMark();
  EXPECT_THAT(ask("status", workers->pw_uid, workers->pw_gid, {}), HasSubstr("\"ok\":true"));
  for (const char* command : {"reload", "stop", "restart", "log", "forget_user", "clear_limits"}) {
    EXPECT_THAT(ask(command, workers->pw_uid, workers->pw_gid, {}),
                HasSubstr("the account of the workers may look, but change nothing"))
        << command;
  }
  EXPECT_TRUE(capsule.waitForLog("was refused", mark));
  EXPECT_EQ(capsule.ctl({"reload"}).status.code, 0);
}

TEST_F(Control, WorkersHoldNoPartOfTheControlSocket) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may look at a worker's descriptors";
  capsule.start();
  EXPECT_EQ(ctl({"worker", "restart", "all"}).status.code, 0);
  const auto sockets = [](pid_t pid) {
    std::size_t count = 0;
    std::error_code gone;
    std::filesystem::directory_iterator fd("/proc/" + std::to_string(pid) + "/fd", gone);
    for (; fd != std::filesystem::directory_iterator(); fd.increment(gone)) {
      const std::string target = std::filesystem::read_symlink(fd->path(), gone);
      count += target.starts_with("socket:") ? 1U : 0U;
    }
    return count;
  };
  EXPECT_TRUE(eventually([&] {
    const std::vector<pid_t> workers = capsule.workerPids();
    return workers.size() == 2 &&
           std::ranges::all_of(workers, [&](pid_t worker) { return sockets(worker) == 2; });
  })) << "its listener and its channel";
}

}  // namespace
}  // namespace egalaxyd
