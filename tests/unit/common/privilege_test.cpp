#include "common/privilege.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace egalaxyd {
namespace {

/// No descriptor can be opened as long as it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

TEST(WorkerAccount, LeavesNoWorkerRootBecauseNobodyCouldBeLookedUp) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root becomes another account";
  const NoDescriptors exhausted;
  EXPECT_FALSE(workerAccount("", ""));
  EXPECT_FALSE(workerAccount("nobody", "nogroup"));
}

TEST(WorkerAccount, IsTheMastersWhereNobodyElseIsNamed) {
  const auto account = workerAccount("root", "");
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_FALSE(account->has_value());
}

}  // namespace
}  // namespace egalaxyd
