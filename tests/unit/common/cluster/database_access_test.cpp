#include "common/cluster/database_access.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "common/config/config_schema.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

TEST(DatabaseAccess, ThePasswordIsTheFirstLineOfAFileForItsOwnerAlone) {
  TempDir dir;
  const fs::path file = dir.write("password", "secret\nsecond line\n");
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  EXPECT_EQ(readDatabasePassword(file).value(), "secret");
  EXPECT_EQ(readDatabasePassword("").value(), "");
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  const auto shared = readDatabasePassword(file);
  ASSERT_FALSE(shared);
  EXPECT_NE(shared.error().message.find("chmod 0600"), std::string::npos);
  EXPECT_EQ(readDatabasePassword(dir / "none").error().code, ErrorCode::kNotFound);
}

TEST(DatabaseAccess, KnowsTheFilesThatAUrlNames) {
  EXPECT_EQ(databaseFiles("postgresql://db/e?sslmode=verify-full&sslrootcert=/etc/a%20b&sslkey=k"),
            std::vector<fs::path>{"/etc/a b"});
  EXPECT_TRUE(databaseFiles("postgresql://db/e").empty());
}

TEST(DatabaseAccess, IsShownWithoutAPassword) {
  EXPECT_EQ(withoutPassword("postgresql://e:secret@db,db2/e?a=b"),
            "postgresql://e:(masked)@db,db2/e?a=b");
  EXPECT_EQ(withoutPassword("postgresql://db/e?password=secret&a=b"),
            "postgresql://db/e?password=(masked)&a=b");
  for (const char* plain :
       {"postgresql://e@db:5432,db2:5433/e?a=b", "postgresql://[::1]:1/e", ""}) {
    EXPECT_EQ(withoutPassword(plain), plain);
  }
}

}  // namespace
}  // namespace egalaxyd
