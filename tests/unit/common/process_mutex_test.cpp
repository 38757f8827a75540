#include "common/process_mutex.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <thread>

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

constexpr auto kAtOnce = 0ms;

class ProcessMutexTest : public testing::Test {
 protected:
  ProcessMutexTest()
      : memory_(::mmap(nullptr, sizeof(ProcessMutex), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        mutex_(*new (memory_) ProcessMutex) {}
  ~ProcessMutexTest() override {
    mutex_.~ProcessMutex();
    ::munmap(memory_, sizeof(ProcessMutex));
  }

  bool othersCanHaveIt(std::chrono::milliseconds patience) {
    bool had = false;
    std::jthread([&] {
      had = mutex_.try_lock_for(patience);
      if (had) mutex_.unlock();
    }).join();
    return had;
  }

  void* memory_;
  ProcessMutex& mutex_;
};

TEST_F(ProcessMutexTest, IsHeldByOneAtATime) {
  ASSERT_TRUE(mutex_.try_lock_for(kAtOnce));
  EXPECT_FALSE(othersCanHaveIt(1ms));
  mutex_.unlock();
  EXPECT_TRUE(othersCanHaveIt(kAtOnce));
}

TEST_F(ProcessMutexTest, AProcessThatIsKilledGivesItBack) {
  for (int deaths = 0; deaths < 2; ++deaths) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (!mutex_.try_lock_for(kAtOnce)) ::_exit(1);
      ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(othersCanHaveIt(kAtOnce));
  }
}

}  // namespace
}  // namespace egalaxyd
