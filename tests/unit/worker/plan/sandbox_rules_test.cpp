// What code that has taken over a worker can do to the files that its master trusts, where both run
// as one account and Landlock alone stands between.
#include "worker/plan/sandbox_rules.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "common/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::Not;

bool opens(const fs::path& file, int flags) {
  return static_cast<bool>(UniqueFd(::open(file.c_str(), flags | O_CLOEXEC, 0600)));
}
bool moves(const fs::path& from, const fs::path& to) {
  return ::rename(from.c_str(), to.c_str()) == 0;
}
bool exchanges(const fs::path& one, const fs::path& other) {
  return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0;
}

class WorkerSandbox : public testing::Test {
 protected:
  WorkerSandbox() {
    for (const char* folder : {"state/certificates", "state/db", "state/notes", "run", "wiki/pages",
                               "etc", "srv/uploads"}) {
      dir_.makeDir(folder);
    }
    dir_.write("state/certificates/localhost.crt", "ours");
    dir_.write("state/egalaxyd.lock", "1\n");
    dir_.write("run/control.sock", "");
    dir_.write("wiki/egalaxyd.toml", "ours");
    dir_.write("etc/site.key", "ours");
    config_.file = dir_ / "wiki/egalaxyd.toml";
    config_.server.stateDir = dir_ / "state";
    config_.server.runtimeDir = dir_ / "run";
    config_.tls.key = dir_ / "etc/site.key";
    config_.tls.certificate = dir_ / "etc/site.crt";
    SiteConfig site;
    site.host = "localhost";
    for (const char* root : {"state/notes", "wiki/pages", "srv/uploads"}) {
      DirectoryArgs args;
      args.root = dir_ / root;
      args.upload.emplace();
      site.mounts.push_back({"/" + std::string(root), "", args});
    }
    config_.sites.push_back(site);
  }

  /// What `attack` reports from inside, "" when nothing came of it; "skip" without Landlock.
  std::string inside(const std::function<std::string()>& attack) const {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      const auto entered = enterSandbox(SandboxMode::kAuto, workerSandbox(config_));
      const bool confined = entered && entered->starts_with("landlock");
      const std::string text = confined ? attack() : "skip";
      ::_exit(::write(writing.get(), text.data(), text.size()) < 0 ? 1 : 0);
    }
    writing.reset();
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(
        std::max<ssize_t>(::read(reading.get(), text.data(), text.size()), 0)));
    ::waitpid(child, nullptr, 0);
    return text;
  }

  const TempDir dir_;
  Config config_;
};

TEST_F(WorkerSandbox, LeavesOfTheStateFolderTheDatabaseAlone) {
  const fs::path state = dir_ / "state";
  const std::string came = inside([&] {
    std::string broken;
    const auto never = [&](const char* what, bool happened) {
      if (happened) broken += std::string(what) + "; ";
    };
    never("certificates moved", moves(state / "certificates", state / "other"));
    never("certificates moved into db", moves(state / "certificates", state / "db/mine"));
    never("certificates moved to uploads", moves(state / "certificates", dir_ / "srv/uploads/c"));
    never("certificates exchanged", exchanges(state / "certificates", state / "db"));
    never("the state folder moved", moves(state, dir_ / "other"));
    never("db moved", moves(state / "db", state / "other"));
    never("a certificate written", opens(state / "certificates/localhost.crt", O_WRONLY));
    never("a certificate made", opens(state / "certificates/new.crt", O_WRONLY | O_CREAT));
    never("a certificate removed", ::unlink((state / "certificates/localhost.crt").c_str()) == 0);
    never("a file made", opens(state / "egalaxyd.db", O_WRONLY | O_CREAT));
    never("the lock written", opens(state / "egalaxyd.lock", O_WRONLY));
    never("a link made", ::symlink("/etc", (state / "certificates2").c_str()) == 0);
    never("the socket removed", ::unlink((dir_ / "run/control.sock").c_str()) == 0);
    never("a socket's folder moved", moves(dir_ / "run", dir_ / "srv/uploads/run"));
    never("no database", !opens(state / "db/egalaxyd.db", O_RDWR | O_CREAT));
    never("no journal", !opens(state / "db/egalaxyd.db-journal", O_RDWR | O_CREAT));
    never("no removal", ::unlink((state / "db/egalaxyd.db-journal").c_str()) != 0);
    return broken;
  });
  if (came == "skip") GTEST_SKIP() << "no Landlock";
  EXPECT_EQ(came, "");
}

TEST_F(WorkerSandbox, ReplacesNothingThatTheMasterReadsBesideARootOfUploads) {
  const std::string came = inside([&] {
    std::string broken;
    const auto never = [&](const char* what, bool happened) {
      if (happened) broken += std::string(what) + "; ";
    };
    never("the configuration written", opens(dir_ / "wiki/egalaxyd.toml", O_WRONLY));
    never("the configuration replaced",
          moves(dir_ / "wiki/egalaxyd.toml", dir_ / "wiki/pages/gone"));
    never("a key written", opens(dir_ / "etc/site.key", O_WRONLY));
    for (const char* root : {"state/notes", "wiki/pages", "srv/uploads"}) {
      never("no upload", !opens(dir_ / root / "page", O_WRONLY | O_CREAT));
    }
    return broken;
  });
  if (came == "skip") GTEST_SKIP() << "no Landlock";
  EXPECT_EQ(came, "");
}

TEST_F(WorkerSandbox, WritesToNothingAroundARootOfUploads) {
  const auto rules = workerSandbox(config_);
  for (const char* place : {"state", "wiki", "srv", ""}) {
    EXPECT_THAT(rules.writable, Not(Contains(dir_ / place))) << place;
  }
  EXPECT_THAT(rules.writable, Contains(dir_ / "srv/uploads"));
  EXPECT_THAT(rules.readable, Contains(dir_ / "wiki")) << "pages are served from it all the same";
}

TEST_F(WorkerSandbox, HasNoRuleForALinkInTheDatabasesPlace) {
  fs::remove(dir_ / "state/db");
  fs::create_directory_symlink(dir_ / "etc", dir_ / "state/db");
  EXPECT_THAT(workerSandbox(config_).writable, Not(Contains(dir_ / "state/db")));
}

TEST_F(WorkerSandbox, WritesToWhereALinkToARootOfUploadsMayLead) {
  fs::create_directory_symlink(dir_ / "srv/uploads", dir_ / "wiki/current");
  std::get<DirectoryArgs>(config_.sites[0].mounts[2].args).root = dir_ / "wiki/current";
  EXPECT_THAT(workerSandbox(config_).writable, Contains(fs::canonical(dir_ / "srv")));
  fs::create_directory_symlink(dir_ / "srv", dir_ / "run/real");
  config_.server.stateDir = dir_ / "run/real/state";  // not there yet
  EXPECT_THAT(workerSandbox(config_).writable, Not(Contains(fs::canonical(dir_ / "srv"))))
      << "the master's files are seen through links";
}

}  // namespace
}  // namespace egalaxyd
