#include "common/base/unfinished_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

class UnfinishedFiles : public testing::Test {
 protected:
  /// How a process ends that runs `work`, with no signal blocked, as other tests may have left it.
  template <class Work>
  static int ending(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
      sigset_t none;
      sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      work();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  std::string path(const std::string& name) const { return (dir / name).string(); }

  TempDir dir;
};

TEST_F(UnfinishedFiles, GoUnlessTheyAreKept) {
  {
    UnfinishedFile gone(path("gone"));
    UnfinishedFile stays(path("stays"));
    EXPECT_TRUE(gone.make());
    EXPECT_TRUE(stays.make());
    EXPECT_EQ(fs::status(path("gone")).permissions(),
              fs::perms::owner_read | fs::perms::owner_write);
    stays.keep();
  }
  EXPECT_FALSE(fs::exists(path("gone")));
  EXPECT_TRUE(fs::exists(path("stays")));
}

TEST_F(UnfinishedFiles, LeaveAloneWhatWasThereBefore) {
  std::ofstream(path("there")) << "mine";
  {
    UnfinishedFile file(path("there"));
    EXPECT_FALSE(file.make());
  }
  EXPECT_TRUE(fs::exists(path("there")));
}

TEST_F(UnfinishedFiles, GoWithTheProcessAtASignalAndThoseThatAreKeptStay) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ}) {
    EXPECT_EQ(signal, ending([&] {
                std::signal(signal, SIG_DFL);  // whoever started the tests may ignore it
                removeUnfinishedFilesAtSignals();
                UnfinishedFile one(path("one"));
                UnfinishedFile two(path("two"));
                UnfinishedFile kept(path("kept"));
                if (!one.make() || !two.make() || !kept.make()) ::_exit(1);
                kept.keep();
                ::raise(signal);
              }));
    EXPECT_FALSE(fs::exists(path("one")));
    EXPECT_FALSE(fs::exists(path("two")));
    EXPECT_TRUE(fs::remove(path("kept")));
  }
}

TEST_F(UnfinishedFiles, SeeNoSignalThatIsIgnored) {
  EXPECT_EQ(0, ending([&] {
              std::signal(SIGHUP, SIG_IGN);
              removeUnfinishedFilesAtSignals();
              UnfinishedFile file(path("file"));
              if (!file.make()) ::_exit(1);
              ::raise(SIGHUP);
              file.keep();
            }));
  EXPECT_TRUE(fs::exists(path("file")));
}

TEST_F(UnfinishedFiles, MayBeMoreThanASignalRemoves) {
  std::vector<std::unique_ptr<UnfinishedFile>> many;
  for (int i = 0; i < 20; ++i) {
    many.push_back(std::make_unique<UnfinishedFile>(unfinishedName(path("many."))));
    EXPECT_TRUE(many.back()->make());
  }
  many.clear();
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

}  // namespace
}  // namespace egalaxyd
