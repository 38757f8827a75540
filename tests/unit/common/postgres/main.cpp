#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/postgres_server.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (egalaxyd::postgresPrograms().empty()) {
    std::puts("skipped: no PostgreSQL server in /usr/lib/postgresql");
    return 77;
  }
  return RUN_ALL_TESTS();
}
