// A database that cannot be used: what needs it says so, everything else is served.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

class StorageTrouble : public testing::Test {
 protected:
  StorageTrouble() {
    settings.certificate = &alice;
    capsule.page("index.gmi", "# Welcome\n");
    capsule.sites(
        "[sites.\"localhost\".\"/\"]\nmodule = \"directory\"\nroot = \"root\"\n"
        "[sites.\"localhost\".\"/say\"]\nmodule = \"input\"\nas_meta = true\nkey = \"said\"\n");
  }
  std::filesystem::path database() { return capsule.dir() / "state/db/egalaxyd.db"; }

  void expectOnlyUsersToSuffer() {
    EXPECT_EQ(capsule.get("/").status, 20);
    EXPECT_EQ(capsule.get("/", settings).status, 20);
    const Reply reply = capsule.get("/say?word", settings);
    EXPECT_EQ(reply.status, 40) << reply;
    EXPECT_EQ(capsule.get("/").status, 20);
  }

  Capsule capsule;
  const TestCertificate alice = makeTestCertificate();
  TlsSettings settings;
};

TEST_F(StorageTrouble, ADamagedDatabaseStopsOnlyWhatNeedsIt) {
  capsule.dir().write("state/db/egalaxyd.db", std::string(8192, 'x'));
  capsule.start();
  EXPECT_NE(capsule.ctl({"status"}).out.find("degraded"), std::string::npos)
      << "from the first answer on";
  EXPECT_TRUE(capsule.waitForLog("users and uploads are not available"));
  expectOnlyUsersToSuffer();
}

TEST_F(StorageTrouble, AMissingFolderForItStopsOnlyWhatNeedsIt) {
  capsule.dir().makeDir("state/db/egalaxyd.db");
  capsule.start();
  expectOnlyUsersToSuffer();
}

TEST_F(StorageTrouble, ALockHeldByAnotherDelaysNoPage) {
  capsule.start();
  EXPECT_EQ(capsule.get("/say?before", settings).status, 20);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(database().c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 30'000);  // a worker may be writing
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  GeminiClient waiting(capsule.port(), settings);
  ASSERT_TRUE(waiting.handshake());
  waiting.send(capsule.url("/say?during") + "\r\n");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(capsule.get("/").status, 20);
  ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_EQ(waiting.readReply().status, 20) << "written once the lock was free";
}

}  // namespace
}  // namespace egalaxyd
