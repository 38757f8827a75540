#include "master/launcher/launcher_session.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "common/base/number.h"
#include "common/shared/script_names.h"
#include "master/launcher/orphans.h"
#include "tests/support/deadline.h"
#include "tests/unit/master/launcher/launcher_lab.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// What came of one script.
struct Outcome {
  std::string output;
  std::string errors;
  std::optional<ScriptEnded> end;
  std::optional<NotStarted> refusal;
};

class LauncherTest : public testing::Test {
 protected:
  RunScript ask(std::string script, std::uint32_t run = 1) const {
    RunScript asked;
    asked.run = run;
    asked.script = std::move(script);
    asked.client = "192.0.2.1";
    return asked;
  }
  /// What follows an answer to RunScript.
  Outcome outcome(WorkerPeer& worker) {
    Outcome got;
    const auto packet = worker.receive();
    const auto message = packet ? decodeLauncherAnswers(*packet) : std::nullopt;
    if (!message) return got;
    if (const auto* refusal = std::get_if<NotStarted>(&*message)) got.refusal = *refusal;
    if (worker.files.size() != 2) return got;
    const auto files = std::exchange(worker.files, {});
    got.output = readAll(files[0]);
    got.errors = readAll(files[1]);
    got.end = worker.next<ScriptEnded>();
    return got;
  }
  Outcome run(const RunScript& asked) {
    WorkerPeer worker = lab_.worker();
    worker.ask(asked);
    return outcome(worker);
  }
  /// Of a script of that text.
  Outcome run(std::string_view text) {
    lab_.script("it", "#!/bin/sh\n" + std::string(text));
    return run(ask("it"));
  }
  /// For a script: writes its number into `file`.
  std::string noteNumber(std::string_view file) const {
    return "echo $$ > " + (lab_.folder / file).string() + "\n";
  }
  /// The number that a script has written, or writes soon, into `file`.
  pid_t numberIn(std::string_view file) const {
    std::optional<std::int64_t> pid;
    EXPECT_TRUE(eventually([&] {
      std::string text;
      if (std::filesystem::exists(lab_.folder / file)) text = lab_.folder.read(file);
      if (text.ends_with('\n')) pid = parseNumber(text.substr(0, text.size() - 1), 2, INT32_MAX);
      return pid.has_value();
    }));
    return static_cast<pid_t>(pid.value_or(0));
  }
  static bool isGone(pid_t pid) {
    return eventually([&] {
      ::waitpid(pid, nullptr, WNOHANG);  // this process may have inherited it
      return ::kill(pid, 0) != 0 && errno == ESRCH;
    });
  }

  LauncherLab lab_;
};

TEST_F(LauncherTest, RunsAScriptAndTellsHowItEnded) {
  lab_.start();
  const Outcome got = run("echo hello; echo trouble >&2; exit 3");
  EXPECT_EQ(got.output, "hello\n");
  EXPECT_EQ(got.errors, "trouble\n");
  ASSERT_TRUE(got.end);
  EXPECT_EQ(got.end->exitCode, 3);
  EXPECT_EQ(got.end->signal, 0);
  EXPECT_FALSE(got.end->stopped);
}

TEST_F(LauncherTest, TellsTheSignalThatEndedAScript) {
  lab_.start();
  const Outcome got = run("kill -SEGV $$");
  ASSERT_TRUE(got.end);
  EXPECT_EQ(got.end->signal, SIGSEGV);
}

TEST_F(LauncherTest, TellsTheTimeThatAScriptAndItsChildrenTook) {
  lab_.start();
  const Outcome got = run("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'");
  ASSERT_TRUE(got.end);
  EXPECT_GT(got.end->cpuMs, 0U);
}

TEST_F(LauncherTest, GivesAScriptItsVariablesAndNoOther) {
  ::setenv("SECRET", "1", 1);
  ScriptMount& mount = lab_.mount();
  mount.environment = {{"TZ", "UTC"}, {"QUERY_STRING", "forged"}, {"PATH", "/forged"}};
  lab_.start();
  lab_.script("it", "#!/bin/sh\nexec env\n");
  RunScript asked = ask("it");
  asked.variables = {{*scriptVariable("QUERY_STRING"), "a=b\n c"},
                     {*scriptVariable("PATH_INFO"), ""}};
  const Outcome got = run(asked);
  EXPECT_THAT(got.output,
              AllOf(HasSubstr("QUERY_STRING=a=b\n c\n"), HasSubstr("PATH_INFO=\n"),
                    HasSubstr("TZ=UTC\n"), HasSubstr("PATH=/usr/local/bin:/usr/bin:/bin\n"),
                    HasSubstr("LANG=C.UTF-8\n"), HasSubstr("HOME="), HasSubstr("USER="),
                    HasSubstr("LOGNAME="), Not(HasSubstr("SECRET")), Not(HasSubstr("forged"))));
}

TEST_F(LauncherTest, StartsAScriptInASessionOfItsOwnWithNothingInherited) {
  lab_.mount().cpuSeconds = 7;
  lab_.start();
  const Outcome got =
      run("echo descriptors $(ls /proc/$$/fd)\numask\npwd\nulimit -n; ulimit -c; ulimit -t\nnice\n"
          "cat /proc/self/oom_score_adj\n"
          "grep -E 'SigBlk|SigIgn|NoNewPrivs' /proc/self/status\n"
          "[ \"$(cut -d' ' -f5,6 /proc/$$/stat)\" = \"$$ $$\" ] && echo leads; echo $0");
  const std::string nice = std::to_string(std::min(19, ::getpriority(PRIO_PROCESS, 0) + 5));
  EXPECT_THAT(got.output, HasSubstr("descriptors 0 1 10 2 3\n0022\n" + lab_.scripts().string() +
                                    "\n256\n0\n7\n" + nice + "\n500\n"))
      << "3 and 10 are the shell's own";
  EXPECT_THAT(got.output, HasSubstr("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                                    "NoNewPrivs:\t1\n"));
  EXPECT_THAT(got.output, HasSubstr("leads\n" + lab_.scripts().string() + "/it\n"));
}

/// Of a copy of its launcher: the kernel gives what nobody of its account may look into to root.
std::optional<uid_t> ownerOfCopy(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  struct stat status {};
  const bool there = ::stat(folder.c_str(), &status) == 0;
  std::string name;
  std::ifstream(folder + "/comm") >> name;  // the later look: it was a copy before
  return there && name == "egalaxyd-launch" ? std::optional(status.st_uid) : std::nullopt;
}

TEST_F(LauncherTest, NobodyCanLookIntoAScriptThatBegins) {
  if (::geteuid() == 0) GTEST_SKIP() << "root owns its processes whatever they forbid";
  lab_.start();
  const auto file = lab_.script("it", "#!/bin/sh\n");
  const UniqueFd writer(
      ::open(file.c_str(), O_WRONLY | O_CLOEXEC));  // the script tries for a while
  const auto launchers = childrenHere();
  ASSERT_THAT(launchers, testing::SizeIs(1));
  const std::string number = std::to_string(launchers[0]);
  const std::string children = "/proc/" + number + "/task/" + number + "/children";
  WorkerPeer worker = lab_.worker();
  std::uint32_t run = 0;
  std::size_t copies = 0;
  EXPECT_TRUE(eventually([&] {
    worker.ask(ask("it", ++run));
    while (!worker.hasPacket()) {
      pid_t pid = 0;
      if (!(std::ifstream(children) >> pid)) continue;
      const auto owner = ownerOfCopy(pid);
      if (!owner) continue;
      EXPECT_EQ(*owner, 0U);
      ++copies;
    }
    worker.receive();
    worker.files.clear();
    return copies > 0;
  }));
}

TEST_F(LauncherTest, IsItselfNotKilledBeforeOthers) {
  lab_.start();
  std::string launcher = run("echo $PPID").output;
  ASSERT_TRUE(launcher.ends_with('\n'));
  launcher.pop_back();
  std::string own;
  std::string score;
  std::ifstream("/proc/self/oom_score_adj") >> own;
  std::ifstream("/proc/" + launcher + "/oom_score_adj") >> score;
  EXPECT_EQ(score, own);
}

TEST_F(LauncherTest, GivesABodyAsStandardInputOrNone) {
  lab_.start();
  EXPECT_EQ(run("cat").output, "");
  lab_.folder.write("spool/17-1", "body");
  RunScript asked = ask("it");
  asked.body = "17-1";
  EXPECT_EQ(run(asked).output, "body");
  asked.body = "17-2";
  const Outcome missing = run(asked);
  ASSERT_TRUE(missing.refusal);
  EXPECT_THAT(missing.refusal->text, HasSubstr("body"));
}

TEST_F(LauncherTest, FollowsNoLinkInTheSpool) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\ncat\n");
  std::filesystem::create_symlink("/etc/passwd", lab_.folder / "spool/17-1");
  RunScript asked = ask("it");
  asked.body = "17-1";
  EXPECT_TRUE(run(asked).refusal);
}

TEST_F(LauncherTest, LetsAScriptOpenItsPipesAnew) {
  lab_.start();
  const Outcome got = run("echo out > /dev/stdout; echo err > /dev/stderr");
  EXPECT_EQ(got.output, "out\n");
  EXPECT_EQ(got.errors, "err\n");
}

TEST_F(LauncherTest, RunsTheOneProgramOfAMountWithItsArguments) {
  ScriptMount& mount = lab_.mount();
  mount.root = "";
  mount.program = "/bin/echo";
  mount.arguments = {"a b", "-c"};
  mount.folder = "/";
  lab_.start();
  EXPECT_EQ(run(ask("")).output, "a b -c\n");
}

TEST_F(LauncherTest, RunsAScriptInTheMountsFolder) {
  lab_.mount().folder = "/usr";
  lab_.start();
  EXPECT_EQ(run("pwd").output, "/usr\n");
}

// --- what may not run -----------------------------------------------------------------------

TEST_F(LauncherTest, SaysThatAScriptIsGone) {
  lab_.start();
  const Outcome got = run(ask("nothing"));
  ASSERT_TRUE(got.refusal);
  EXPECT_EQ(got.refusal->why, WhyNot::kGone);
}

TEST_F(LauncherTest, RefusesWhatIsNotExecutable) {
  lab_.start();
  lab_.folder.write("scripts/text", "#!/bin/sh\n");
  const Outcome got = run(ask("text"));
  ASSERT_TRUE(got.refusal);
  EXPECT_EQ(got.refusal->why, WhyNot::kCannotRun);
  EXPECT_THAT(got.refusal->text, HasSubstr("refused: "));
}

TEST_F(LauncherTest, RefusesWhatEverybodyMayWrite) {
  lab_.start();
  const auto file = lab_.script("a/b/it", "#!/bin/sh\necho hello\n");
  EXPECT_EQ(run(ask("a/b/it")).output, "hello\n");
  ::chmod(file.c_str(), 0757);
  EXPECT_EQ(run(ask("a/b/it")).refusal->text, "refused: everybody may write to it");
  ::chmod(file.c_str(), 0755);
  for (const auto& folder : {lab_.scripts() / "a/b", lab_.scripts() / "a", lab_.scripts()}) {
    ::chmod(folder.c_str(), 01777);
    EXPECT_EQ(run(ask("a/b/it")).refusal->text,
              "refused: everybody may write to " + folder.string());
    ::chmod(folder.c_str(), 0755);
  }
}

TEST_F(LauncherTest, RefusesWhatEverybodyMayWriteBehindALink) {
  lab_.start();
  lab_.script("a/b/it", "#!/bin/sh\necho hello\n");
  std::filesystem::create_directory_symlink("a/b", lab_.scripts() / "link");
  EXPECT_EQ(run(ask("link/it")).output, "hello\n");
  ::chmod((lab_.scripts() / "a").c_str(), 0777);
  EXPECT_EQ(run(ask("link/it")).refusal->text,
            "refused: everybody may write to " + (lab_.scripts() / "a").string());
}

TEST_F(LauncherTest, RunsWhatIsTheUsersAloneWhereThePlanSaysSo) {
  lab_.mount().ownOnly = true;
  lab_.start();
  const auto file = lab_.script("it", "#!/bin/sh\necho hello\n");
  EXPECT_EQ(run(ask("it")).output, "hello\n");
  ::chmod(file.c_str(), 0775);
  EXPECT_EQ(run(ask("it")).refusal->text, "refused: others may write to it");
  if (::geteuid() != 0) return;
  ::chmod(file.c_str(), 0755);
  ASSERT_EQ(::chown(file.c_str(), 12345, 0), 0);
  EXPECT_EQ(run(ask("it")).refusal->text, "refused: it belongs to another account");
}

TEST_F(LauncherTest, ScriptsOfAnyUserStayInTheUsersFolder) {
  ScriptMount& mount = lab_.mount();
  mount.anyUser = true;
  mount.root = (lab_.scripts() / "%user%/cgi").string();
  lab_.start();
  const auto file = lab_.script("alice/cgi/a/it", "#!/bin/sh\necho $0\n");
  lab_.script("alice/it", "#!/bin/sh\necho hello\n");
  std::filesystem::create_symlink("../it", lab_.scripts() / "alice/cgi/out");
  EXPECT_EQ(run(ask("alice/a/it")).output, file.string() + "\n");
  for (const char* script : {"alice/out", "alice/it", "bob/a/it"}) {
    const Outcome got = run(ask(script));
    ASSERT_TRUE(got.refusal) << script;
    EXPECT_EQ(got.refusal->why, WhyNot::kGone) << script;
  }
}

TEST_F(LauncherTest, FollowsLinksInsideTheRootOnly) {
  lab_.start();
  const auto file = lab_.script("it", "#!/bin/sh\necho hello\n");
  std::filesystem::create_symlink(file, lab_.scripts() / "inside");
  std::filesystem::create_symlink("/bin/true", lab_.scripts() / "outside");
  EXPECT_EQ(run(ask("inside")).output, "hello\n");
  const Outcome got = run(ask("outside"));
  ASSERT_TRUE(got.refusal);
  EXPECT_EQ(got.refusal->why, WhyNot::kGone);
}

TEST_F(LauncherTest, FollowsLinksOutOfTheRootWhereThePlanSaysSo) {
  lab_.mount().followsLinks = true;
  lab_.start();
  std::filesystem::create_symlink("/bin/true", lab_.scripts() / "outside");
  EXPECT_TRUE(run(ask("outside")).end);
}

TEST_F(LauncherTest, NamesTheInterpreterThatIsMissing) {
  lab_.start();
  lab_.script("it", "#! /no/such/php -q\n");
  Outcome got = run(ask("it"));
  ASSERT_TRUE(got.refusal);
  EXPECT_EQ(got.refusal->why, WhyNot::kCannotRun);
  EXPECT_EQ(got.refusal->text, "cannot run: no interpreter \"/no/such/php\"");
  lab_.script("it", "#!/bin/sh\r\n");
  EXPECT_EQ(run(ask("it")).refusal->text, "cannot run: its first line ends in CR LF, not in LF");
  lab_.script("it", "echo hello\n");
  EXPECT_THAT(run(ask("it")).refusal->text, HasSubstr("does not begin with \"#!\""));
}

TEST_F(LauncherTest, HidesFoldersFromScripts) {
  lab_.folder.write("state/key", "secret");
  lab_.folder.write("other/text", "public");
  lab_.plan.hidden = {lab_.folder / "state", "/no/such/folder"};
  lab_.start();
  const Outcome got = run("cd " + lab_.folder.path().string() +
                          "; cat other/text; cat state/key; ls; echo x > state/new; "
                          "echo y > other/new; cat other/new; mv other/new other/newer");
  EXPECT_EQ(got.output, "publicother\nscripts\nspool\nstate\ny\n");
  EXPECT_FALSE(std::filesystem::exists(lab_.folder / "state/new"));
  EXPECT_TRUE(std::filesystem::exists(lab_.folder / "other/newer")) << got.errors;
}

TEST_F(LauncherTest, LetsAScriptOpenItsBodyAnewWhereTheSpoolIsHidden) {
  lab_.folder.write("spool/1-1", "body");
  lab_.folder.write("spool/1-2", "another's");
  lab_.plan.hidden = {lab_.folder / "spool"};
  lab_.start();
  lab_.script("it",
              "#!/bin/sh\ncat /dev/stdin; cat " + (lab_.folder / "spool/1-2").string() + "\n");
  RunScript order = ask("it");
  order.body = "1-1";
  EXPECT_EQ(run(order).output, "body");
}

// --- how runs end ---------------------------------------------------------------------------

TEST_F(LauncherTest, StopsAScriptByTerm) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\nexec sleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  worker.ask(StopScript{1});
  const auto end = worker.next<ScriptEnded>();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGTERM);
  EXPECT_TRUE(end->stopped);
}

TEST_F(LauncherTest, EndsTheWholeGroupOfAScriptThatIgnoresTerm) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\ntrap '' TERM PIPE\nsleep 1000 & echo $! > " +
                        (lab_.folder / "child").string() + "\nwait\nwait\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  const pid_t child = numberIn("child");
  worker.ask(StopScript{1});
  const auto end = worker.next<ScriptEnded>();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGKILL);
  EXPECT_TRUE(isGone(child));
}

TEST_F(LauncherTest, SaysThatAScriptHasEndedThoughAChildKeepsItsOutput) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\necho hello\nsleep 1000 &\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  EXPECT_TRUE(worker.next<ScriptEnded>());
}

TEST_F(LauncherTest, KeepsThePlaceForWhatAScriptLeftBehindUntilItsTimeIsOver) {
  ScriptMount& mount = lab_.mount();
  mount.processes = 1;
  mount.whole = 2s;
  mount.longest = 1000s;
  lab_.start();
  lab_.script("it", "#!/bin/sh\n" + noteNumber("main") + "sleep 1000 &\n");
  lab_.script("next", "#!/bin/sh\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it", 1));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  ASSERT_TRUE(worker.next<ScriptEnded>());
  worker.ask(ask("next", 1));
  EXPECT_TRUE(isGone(numberIn("main"))) << "no zombie";
  EXPECT_TRUE(eventually([&] { return lab_.running().size() == 2; }));
  EXPECT_TRUE(worker.next<ScriptStarted>());
}

TEST_F(LauncherTest, EndsADaemonWithItsRun) {
  lab_.mount().whole = 1s;
  lab_.start();
  lab_.script("daemon",
              "#!/bin/sh\ntrap '' TERM HUP\n" + noteNumber("number") + "sleep 1000\nsleep 1000\n");
  const std::string number = (lab_.folder / "number").string();
  lab_.script("it", "#!/bin/sh\n(setsid ./daemon > /dev/null 2>&1 &)\nwhile [ ! -s " + number +
                        " ]; do sleep 0.01; done\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  EXPECT_TRUE(outcome(worker).end);
  EXPECT_TRUE(isGone(numberIn("number")));
  EXPECT_TRUE(eventually([&] { return lab_.running().empty(); }));
  EXPECT_EQ(lab_.children(), 0U);
}

TEST_F(LauncherTest, StopsTheRunsOfAWorkerThatHasGone) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\n" + noteNumber("main") + "sleep 1000\n");
  pid_t main = 0;
  {
    WorkerPeer worker = lab_.worker();
    worker.ask(ask("it"));
    main = numberIn("main");
  }
  EXPECT_TRUE(isGone(main));
  EXPECT_TRUE(eventually([&] { return lab_.running().empty(); }));
}

TEST_F(LauncherTest, ReportsAWorkerThatDoesNotReadAndStopsItsRuns) {
  lab_.mount().processes = 1;
  lab_.plan.queue = 0;
  lab_.start();
  lab_.script("it", "#!/bin/sh\n" + noteNumber("main") + "sleep 1000\n");
  const WorkerPeer deaf = lab_.worker(/*id=*/7);
  deaf.ask(ask("it", 1));
  const pid_t main = numberIn("main");
  EXPECT_TRUE(eventually([&] {
    for (int i = 0; i < 1000; ++i) deaf.offer(encode(WorkerAsks(ask("it", 2))));
    return lab_.master->hasPacket();
  }));
  EXPECT_EQ(lab_.report<WorkerLied>()->worker, 7);
  EXPECT_TRUE(isGone(main));
  WorkerPeer other = lab_.worker(/*id=*/8);
  EXPECT_TRUE(eventually([&] {
    other.ask(ask("it"));
    return other.next<ScriptStarted>().has_value();
  }));
}

TEST_F(LauncherTest, LeavesNothingOfManyRuns) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\n:\n");
  WorkerPeer worker = lab_.worker();
  for (std::uint32_t i = 1; i <= 200; ++i) {
    worker.ask(ask("it", i));
    ASSERT_TRUE(outcome(worker).end) << i;
  }
  EXPECT_TRUE(eventually([&] { return lab_.running().empty() && lab_.children() == 0; }));
}

// --- places and the queue -------------------------------------------------------------------

TEST_F(LauncherTest, LetsScriptsWaitForAPlaceAndRefusesOnceTooManyDo) {
  lab_.mount().processes = 1;
  lab_.plan.queue = 1;
  lab_.start();
  lab_.script("it", "#!/bin/sh\nsleep 1000\n");
  lab_.script("short", "#!/bin/sh\n:\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it", 1));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  worker.ask(ask("short", 2));
  worker.ask(ask("short", 3));
  const auto refused = worker.next<NotStarted>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->run, 3U);
  EXPECT_EQ(refused->why, WhyNot::kFull);
  worker.ask(StopScript{1});
  EXPECT_EQ(worker.next<ScriptEnded>()->run, 1U);
  EXPECT_EQ(worker.next<ScriptStarted>()->run, 2U);
}

TEST_F(LauncherTest, LetsNobodyWaitTooLong) {
  lab_.mount().processes = 1;
  lab_.plan.queueTimeout = 100ms;
  lab_.start();
  lab_.script("it", "#!/bin/sh\nsleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it", 1));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  worker.ask(ask("it", 2));
  const auto refused = worker.next<NotStarted>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->why, WhyNot::kTooLong);
}

TEST_F(LauncherTest, ForgetsWhoWaitsAndIsStopped) {
  lab_.mount().processes = 1;
  lab_.start();
  lab_.script("it", "#!/bin/sh\nsleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it", 1));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  worker.ask(ask("it", 2));
  worker.ask(StopScript{2});
  EXPECT_EQ(worker.next<NotStarted>()->run, 2U);
  EXPECT_EQ(lab_.running().size(), 1U);
  worker.ask(StopScript{99});  // one that has just ended
  worker.ask(ask("it", 2));
  EXPECT_TRUE(eventually([&] { return lab_.running().size() == 2; }));
}

// --- the master -----------------------------------------------------------------------------

TEST_F(LauncherTest, ListsScriptsAndStopsOneByItsProcess) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\nexec sleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  const auto started = worker.next<ScriptStarted>();
  ASSERT_TRUE(started);
  const auto list = lab_.running();
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].pid, started->pid);
  EXPECT_EQ(list[0].mount, "/cgi-bin");
  EXPECT_EQ(list[0].script, "it");
  EXPECT_EQ(list[0].client, "192.0.2.1");
  lab_.order(StopProcess{6, ::getpid()});
  EXPECT_EQ(lab_.report<ScriptStopped>(), (ScriptStopped{6, false}));
  lab_.order(StopProcess{7, started->pid});
  EXPECT_EQ(lab_.report<ScriptStopped>(), (ScriptStopped{7, true}));
  EXPECT_EQ(worker.next<ScriptEnded>()->signal, SIGTERM);
}

TEST_F(LauncherTest, EndsWhenTheLastWorkerHasGoneAndItsRunIsOver) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\ntrap '' TERM\n" + noteNumber("main") + "sleep 1000\nsleep 1000\n");
  {
    WorkerPeer worker = lab_.worker();
    worker.ask(ask("it"));
    ASSERT_TRUE(worker.next<ScriptStarted>());
    numberIn("main");
    lab_.master.reset();
    worker.ask(ask("nothing", 2));
    EXPECT_TRUE(worker.next<NotStarted>()) << "workers go on without the master";
  }
  EXPECT_TRUE(lab_.ends());
  EXPECT_TRUE(isGone(numberIn("main")));
}

TEST_F(LauncherTest, EndsWhenItIsToldThatNoWorkerComes) {
  lab_.start();
  lab_.order(FinishRuns{});
  EXPECT_TRUE(lab_.ends());
}

TEST_F(LauncherTest, ScriptsEndWithTheLauncher) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\n" + noteNumber("main") + "exec sleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  const pid_t main = numberIn("main");
  lab_.kill();
  EXPECT_TRUE(isGone(main));
}

TEST(LauncherDoor, IsShutForScriptsAndOtherAccounts) {
  LauncherLab lab(LauncherLab::StartedBy::kServiceManager);
  ::chmod(lab.folder.path().c_str(), 0755);
  ::chmod(lab.door().c_str(), 0777);
  constexpr uid_t kNobody = 65534;
  const bool root = ::geteuid() == 0;  // else its account is the launcher's own
  EXPECT_EQ(::seteuid(root ? kNobody : ::geteuid()), 0);
  LauncherPeer stranger(lab.knock());
  EXPECT_EQ(::seteuid(root ? 0 : ::geteuid()), 0);
  EXPECT_FALSE(stranger.receive());
}

TEST(LauncherDoor, ServesEachMasterThatComes) {
  if (::geteuid() != 0) GTEST_SKIP() << "the launcher's own account is no master";
  LauncherLab lab(LauncherLab::StartedBy::kServiceManager);
  lab.script("it", "#!/bin/sh\necho hello\n");
  lab.start();
  LauncherPeer old = *std::exchange(lab.master, LauncherPeer(lab.knock()));
  lab.start();
  WorkerPeer worker = lab.worker();
  RunScript asked;
  asked.script = "it";
  worker.ask(asked);
  ASSERT_TRUE(worker.next<ScriptStarted>());
  EXPECT_EQ(readAll(worker.files[0]), "hello\n");
  old.send(encode(MasterSays(FinishRuns{})));
  EXPECT_FALSE(old.receive()) << "that generation is over";
  EXPECT_TRUE(eventually([&] { return lab.running().empty(); })) << "this one is not";
}

TEST_F(LauncherTest, LeavesOrphansThatItsParentFindsWhenItIsKilled) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  lab_.start();
  lab_.script("daemon",
              "#!/bin/sh\ntrap '' TERM HUP\n" + noteNumber("number") + "sleep 1000\nsleep 1000\n");
  lab_.script("it", "#!/bin/sh\n(setsid ./daemon &)\nsleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  const pid_t daemon = numberIn("number");
  const pid_t stranger = ::fork();
  if (stranger == 0) ::_exit(::pause());
  lab_.kill();
  EXPECT_TRUE(eventually([] { return !endOrphans() && childrenHere().size() == 1; }));
  EXPECT_TRUE(isGone(daemon));
  EXPECT_EQ(::kill(stranger, SIGKILL), 0) << "it is no script's";
  EXPECT_EQ(::waitpid(stranger, nullptr, 0), stranger);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(LauncherTest, LeavesNoOrphanThatHasSpoiltItsTag) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  lab_.start();
  lab_.script("daemon", "#!/bin/sh\n" + noteNumber("number") + "sleep 1000\nsleep 1000\n");
  lab_.script("it", "#!/bin/sh\nprlimit --rttime=7:7 setsid ./daemon &\nsleep 1000\n");
  WorkerPeer worker = lab_.worker();
  worker.ask(ask("it"));
  const pid_t daemon = numberIn("number");
  lab_.kill();
  EXPECT_TRUE(eventually([] { return !endOrphans() && childrenHere().empty(); }));
  EXPECT_TRUE(isGone(daemon));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

// --- workers that lie -----------------------------------------------------------------------

TEST_F(LauncherTest, ReportsAWorkerThatLiesAndHearsItNoMore) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\n" + noteNumber("main") + "sleep 1000\n");
  WorkerPeer worker = lab_.worker(/*id=*/77);
  worker.ask(ask("it", 1));
  ASSERT_TRUE(worker.next<ScriptStarted>());
  const pid_t main = numberIn("main");
  worker.ask(ask("../../bin/sh", 2));
  const auto lie = lab_.report<WorkerLied>();
  ASSERT_TRUE(lie);
  EXPECT_EQ(lie->worker, 77);
  EXPECT_THAT(lie->what, HasSubstr("../../bin/sh"));
  EXPECT_FALSE(worker.receive()) << "its channel is closed";
  EXPECT_TRUE(isGone(main));
}

TEST_F(LauncherTest, TakesNoDescriptorsOfAWorker) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\n:\n");
  WorkerPeer worker = lab_.worker();
  for (std::uint32_t i = 1; i <= 100; ++i) {
    worker.send(encode(WorkerAsks(ask("it", i))), {STDERR_FILENO, STDERR_FILENO});
    ASSERT_TRUE(outcome(worker).end) << i;
  }
}

TEST_F(LauncherTest, TakesNoNumberTwiceAndNoNonsense) {
  lab_.start();
  lab_.script("it", "#!/bin/sh\nsleep 1000\n");
  WorkerPeer twice = lab_.worker(1);
  twice.ask(ask("it"));
  twice.ask(ask("it"));
  EXPECT_EQ(lab_.report<WorkerLied>()->worker, 1);
  lab_.worker(2).send("\xff");
  EXPECT_EQ(lab_.report<WorkerLied>()->worker, 2);
  WorkerPeer dialling = lab_.worker(3);
  dialling.ask(DialUpstream{1, 0});
  EXPECT_EQ(lab_.report<WorkerLied>()->worker, 3);
  EXPECT_TRUE(eventually([&] { return lab_.running().empty(); }));
}

// --- applications ---------------------------------------------------------------------------

UniqueFd listenAt(const std::filesystem::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(socket.get(), 0), 0);
  return socket;
}

TEST_F(LauncherTest, HandsOverAConnectionToAnApplication) {
  const auto path = lab_.folder / "app.sock";
  lab_.plan.upstreams = {{.number = 3, .address = "unix:" + path.string()}};
  lab_.start();
  const UniqueFd listener = listenAt(path);
  WorkerPeer worker = lab_.worker();
  worker.ask(DialUpstream{1, 3});
  EXPECT_EQ(worker.next<Dialled>(), Dialled{1});
  ASSERT_EQ(worker.files.size(), 1U);
  EXPECT_NE(::fcntl(worker.files[0].get(), F_GETFL) & O_NONBLOCK, 0);
  const UniqueFd peer(::accept(listener.get(), nullptr, nullptr));
  EXPECT_EQ(::write(peer.get(), "hello", 5), 5);
  EXPECT_EQ(::shutdown(peer.get(), SHUT_WR), 0);
  EXPECT_EQ(readAll(worker.files[0]), "hello");
}

class HomeApplication : public LauncherTest {
 protected:
  /// Users' sockets lie in the lab's folder; this one is `owner`'s.
  void startWith(const passwd* owner) {
    ASSERT_NE(owner, nullptr);
    user_ = owner->pw_name;
    lab_.plan.upstreams = {{.number = 3,
                            .address = "unix:" + (lab_.folder / "%user%.sock").string(),
                            .users = {user_}}};
    lab_.start();
    listener_ = listenAt(lab_.folder / (user_ + ".sock"));
  }

  std::string user_;
  UniqueFd listener_;
};

TEST_F(HomeApplication, IsReachedByItsUsersSocket) {
  startWith(::getpwuid(::geteuid()));
  WorkerPeer worker = lab_.worker();
  worker.ask(DialUpstream{1, 3, user_});
  EXPECT_EQ(worker.next<Dialled>(), Dialled{1});
  ASSERT_EQ(worker.files.size(), 1U);
  EXPECT_NE(::fcntl(worker.files[0].get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(HomeApplication, IsNoneWhereSomebodyElseListensAtTheUsersSocket) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives sockets away";
  startWith(::getpwnam("daemon"));
  const auto socket = lab_.folder / (user_ + ".sock");
  ASSERT_EQ(::lchown(socket.c_str(), ::getpwnam("daemon")->pw_uid, 1), 0);
  ASSERT_EQ(::chmod(socket.c_str(), 0666), 0);  // the launcher has no power over files
  WorkerPeer worker = lab_.worker();
  worker.ask(DialUpstream{1, 3, user_});
  const auto refused = worker.next<NotStarted>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->why, WhyNot::kGone);
  EXPECT_THAT(refused->text, HasSubstr("refused: who listens there is not its user"));
}

TEST_F(HomeApplication, IsAskedForByAUsersName) {
  startWith(::getpwuid(::geteuid()));
  for (const char* user : {"", "nobodyelse", "../x"}) {
    lab_.worker(7).ask(DialUpstream{1, 3, user});
    EXPECT_EQ(lab_.report<WorkerLied>()->worker, 7) << user;
  }
}

TEST_F(LauncherTest, SaysWhyAnApplicationCannotBeReached) {
  lab_.plan.upstreams = {{.number = 0, .address = "unix:/no/such.sock"},
                         {.number = 1, .address = "localhost:1"},
                         {.number = 2, .address = "no-such-name.invalid:1"}};
  lab_.start();
  WorkerPeer worker = lab_.worker();
  worker.ask(DialUpstream{1, 0});
  EXPECT_EQ(worker.next<NotStarted>(),
            (NotStarted{1, WhyNot::kNoAnswer,
                        "connect to unix:/no/such.sock: No such file or directory"}));
  worker.ask(DialUpstream{1, 1});
  EXPECT_EQ(worker.next<NotStarted>(),
            (NotStarted{1, WhyNot::kNoAnswer, "connect to localhost:1: Connection refused"}));
  worker.ask(DialUpstream{1, 2});
  EXPECT_THAT(worker.next<NotStarted>()->text, HasSubstr("look up no-such-name.invalid:1: "));
}

TEST_F(LauncherTest, WaitsForAnApplicationNoLongerThanItMay) {
  const auto path = lab_.folder / "app.sock";
  lab_.plan.upstreams = {
      {.number = 0, .address = "unix:" + path.string(), .connectTimeout = 200ms}};
  lab_.start();
  const UniqueFd listener = listenAt(path);  // of which the queue is full after one
  WorkerPeer worker = lab_.worker();
  worker.ask(DialUpstream{1, 0});
  ASSERT_TRUE(worker.next<Dialled>());
  worker.ask(DialUpstream{2, 0});
  const auto refused = worker.next<NotStarted>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->why, WhyNot::kNoAnswer);
  EXPECT_THAT(refused->text, HasSubstr("timed out"));
  worker.ask(DialUpstream{3, 0});
  worker.ask(StopScript{3});
  EXPECT_EQ(worker.next<NotStarted>()->text, "stopped");
}

}  // namespace
}  // namespace egalaxyd
