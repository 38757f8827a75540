#include "master/control/process_parents.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace egalaxyd {
namespace {

TEST(ProcessParents, LeadToOnesParentAndToOneself) {
  EXPECT_TRUE(mayDescendFrom(::getpid(), ::getpid()));
  EXPECT_TRUE(mayDescendFrom(::getpid(), ::getppid()));
}

TEST(ProcessParents, DoNotLeadToOnesChildren) {
  EXPECT_FALSE(mayDescendFrom(::getppid(), ::getpid()));
}

TEST(ProcessParents, OfOneThatHasGoneMayBeAnybody) {
  EXPECT_TRUE(mayDescendFrom(4'999'999, 4'999'998));
}

}  // namespace
}  // namespace egalaxyd
