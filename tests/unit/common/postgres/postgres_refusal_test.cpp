#include "common/postgres/postgres_refusal.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd::postgres {
namespace {

constexpr const char* kBefore = "connection to server at \"192.0.2.1\", port 5432 failed: ";

TEST(PostgresRefusal, KnowsWhatTheServerSaysByItsCode) {
  const Error told = refusal("192.0.2.1:5432",
                             std::string(kBefore) +
                                 "FATAL:  28P01: Passwort-Authentifizierung fehlgeschlagen\n"
                                 "LOCATION:  auth_failed, auth.c:335\n",
                             false);
  EXPECT_EQ(told.code, ErrorCode::kBusy);
  EXPECT_EQ(told.message,
            "192.0.2.1:5432: it refuses the password; write that of the role in storage.url into "
            "the file of storage.password (Passwort-Authentifizierung fehlgeschlagen, 28P01)");
}

TEST(PostgresRefusal, SaysWhatItDoesNotKnow) {
  EXPECT_EQ(refusal("db", std::string(kBefore) + "FATAL:  XX000: it is late\n", false).message,
            "db: it refuses the connection (it is late, XX000)");
  EXPECT_NE(refusal("db", "", false).message.find("nobody answers"), std::string::npos);
}

TEST(PostgresRefusal, APoolerIsToldByTheSettingsThatItDoesNotPassOn) {
  const Error told = refusal(
      "db", std::string(kBefore) + "FATAL:  08P01: unsupported startup parameter: options", false);
  EXPECT_EQ(told.code, ErrorCode::kInvalid);
  EXPECT_EQ(told.message, poolerBetween("db").message);
}

TEST(PostgresRefusal, BytesOfAServerDoNotReachTheTerminal) {
  const std::string told = refusal("db", "FATAL:  XX000: \x1b[2J", false).message;
  EXPECT_EQ(told.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace egalaxyd::postgres
