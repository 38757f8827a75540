#include "common/postgres/postgres_url.h"

#include <gtest/gtest.h>

namespace egalaxyd::postgres {
namespace {

Url parsed(std::string_view text) {
  auto url = parseUrl(text);
  EXPECT_TRUE(url) << (url ? "" : url.error().message);
  return url ? *url : Url{};
}

std::string refusal(std::string_view text) {
  const auto url = parseUrl(text);
  return url ? "" : url.error().message;
}

TEST(PostgresUrl, KnowsItsHosts) {
  const Url url = parsed("postgresql://u@db1,db2:6000/egalaxyd?sslmode=verify-full");
  EXPECT_EQ(url.hosts, (std::vector<Host>{{"db1", "", "5432"}, {"db2", "", "6000"}}));
  EXPECT_EQ(url.keywords.at("user"), "u");
  EXPECT_EQ(url.keywords.at("dbname"), "egalaxyd");
  EXPECT_EQ(url.keywords.at("sslmode"), "verify-full");
  EXPECT_EQ(tcpPorts(url), (std::vector<std::uint16_t>{5432, 6000}));
}

TEST(PostgresUrl, KnowsSockets) {
  const Url url = parsed("postgresql:///egalaxyd?host=/run/a,/run/b&port=5433");
  EXPECT_EQ(url.hosts, (std::vector<Host>{{"/run/a", "", "5433"}, {"/run/b", "", "5433"}}));
  EXPECT_TRUE(tcpPorts(url).empty());
  EXPECT_TRUE(parsed("postgresql://u@/db").hosts[0].isSocket());
}

TEST(PostgresUrl, RefusesWhatAnOperatorMustMend) {
  EXPECT_NE(refusal("mysql://x").find("postgresql://"), std::string::npos);
  EXPECT_NE(refusal("postgresql://u:secret@h/d").find("storage.password"), std::string::npos);
  EXPECT_EQ(refusal("postgresql://u:secret@h/d").find("secret"), std::string::npos);
  EXPECT_NE(refusal("postgresql://h/d?options=-c%20x%3Dy").find("egalaxyd's to set"),
            std::string::npos);
  EXPECT_NE(refusal("postgresql://h/d?target_session_attrs=any").find("target_session_attrs"),
            std::string::npos);
  EXPECT_NE(refusal("postgresql://a,b,a/d").find("a is there twice"), std::string::npos);
  EXPECT_NE(refusal("postgresql://h/d?nonsense=1").find("nonsense"), std::string::npos);
  EXPECT_NE(refusal("postgresql://h:99999/d").find("99999"), std::string::npos);
  EXPECT_EQ(refusal("postgresql://a:1,a:2/d"), "");
}

TEST(PostgresUrl, HasAddressesForNames) {
  const auto url = resolved(parsed("postgresql://u@127.0.0.1:7,localhost:8/d"));
  ASSERT_TRUE(url);
  for (const Host& host : url->hosts) EXPECT_FALSE(host.address.empty()) << host.name;
  EXPECT_EQ(url->hosts[0].address, "127.0.0.1");
}

TEST(PostgresUrl, IsReadAsItWasWritten) {
  for (const char* text :
       {"postgresql://u@db1,db2:6000/d?sslmode=verify-full&sslrootcert=/a%20b%26c",
        "postgresql:///d?host=/run/a,db1&hostaddr=,192.0.2.1&user=x"}) {
    const Url url = parsed(text);
    const Url again = parsed(toString(url));
    EXPECT_EQ(again.hosts, url.hosts);
    EXPECT_EQ(again.keywords, url.keywords);
  }
}

}  // namespace
}  // namespace egalaxyd::postgres
