#include "common/wire/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bit>

namespace egalaxyd {
namespace {

IpAddress address(std::string_view text) { return IpAddress::parse(text).value(); }
Cidr network(std::string_view text) { return Cidr::parse(text).value(); }

TEST(IpAddress, ReadsAndWritesItsTextForm) {
  const struct {
    std::string_view text, expected;
    bool v4;
  } cases[] = {{"192.0.2.1", "192.0.2.1", true},
               {"0.0.0.0", "0.0.0.0", true},
               {"255.255.255.255", "255.255.255.255", true},
               {"::", "::", false},
               {"::1", "::1", false},
               {"2001:DB8:0:0::1", "2001:db8::1", false},
               {"::ffff:192.0.2.1", "192.0.2.1", true}};
  for (const auto& c : cases) {
    EXPECT_EQ(address(c.text).text(), c.expected);
    EXPECT_EQ(address(c.text).isV4(), c.v4) << c.text;
  }
}

TEST(IpAddress, RefusesWhatIsNotOne) {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv, "localhost"sv, "192.0.2"sv, "192.0.2.256"sv, "192.0.2.1 "sv, "192.0.2.1:80"sv,
        "[::1]"sv, "::1%eth0"sv, "1:2:3"sv, ":::"sv, "192.0.2.1\0x"sv, "::1\0"sv}) {
    EXPECT_EQ(IpAddress::parse(text), std::nullopt) << text;
  }
}

TEST(IpAddress, IsTheUnspecifiedAddressByDefault) {
  EXPECT_EQ(IpAddress().text(), "::");
  EXPECT_FALSE(IpAddress().isV4());
}

TEST(IpAddress, ComesOutOfSocketAddresses) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(0xc0000201);
  EXPECT_EQ(IpAddress::fromSockaddr(std::bit_cast<sockaddr>(v4)).text(), "192.0.2.1");

  sockaddr_storage storage{};
  storage.ss_family = AF_INET6;
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  ASSERT_EQ(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr), 1);
  EXPECT_EQ(IpAddress::fromSockaddr(reinterpret_cast<sockaddr&>(storage)), address("2001:db8::7"));

  sockaddr local{};
  local.sa_family = AF_UNIX;
  EXPECT_EQ(IpAddress::fromSockaddr(local), IpAddress());
}

TEST(IpAddress, ShowsNoMoreThanTheMaskAllows) {
  EXPECT_EQ(address("192.0.2.77").text(AddressMask::kFull), "192.0.2.77");
  EXPECT_EQ(address("192.0.2.77").text(AddressMask::kMasked), "192.0.2.0");
  EXPECT_EQ(address("2001:db8:1:2::3").text(AddressMask::kMasked), "2001:db8:1::");
  EXPECT_EQ(address("192.0.2.77").text(AddressMask::kOff), "-");
}

TEST(IpAddress, CountsIpv6ByItsSlash64) {
  EXPECT_EQ(address("192.0.2.77").limitKey(), address("192.0.2.77"));
  EXPECT_EQ(address("2001:db8:1:2:3::4").limitKey(), address("2001:db8:1:2::"));
  const auto number = [](const char* text) { return address(text).limitNumber(); };
  EXPECT_EQ(number("2001:db8:1:2:3::4"), number("2001:db8:1:2:5::6"));
  EXPECT_NE(number("2001:db8:1:2::"), number("2001:db8:1:3::"));
  EXPECT_NE(number("192.0.2.77"), number("192.0.2.78"));
}

TEST(IpAddress, KeepsThePrefixAlone) {
  const IpAddress ones = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  const struct {
    unsigned bits;
    std::string_view expected;
  } cases[] = {{0, "::"},
               {1, "8000::"},
               {7, "fe00::"},
               {8, "ff00::"},
               {9, "ff80::"},
               {64, "ffff:ffff:ffff:ffff::"},
               {127, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"}};
  for (const auto& c : cases) EXPECT_EQ(ones.prefix(c.bits), address(c.expected)) << c.bits;
  EXPECT_EQ(ones.prefix(128), ones);
}

TEST(Cidr, ContainsItsAddressesAndNoOthers) {
  const struct {
    std::string_view network, inside, outside;
  } cases[] = {{"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
               {"192.0.2.128/25", "192.0.2.255", "192.0.2.127"},
               {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
               {"192.0.2.7/32", "192.0.2.7", "192.0.2.8"},
               {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
               {"::1", "::1", "::2"},
               {"0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
               {"::/0", "2001:db8::1", "203.0.113.9"}};
  for (const auto& c : cases) {
    EXPECT_TRUE(network(c.network).contains(address(c.inside))) << c.network;
    EXPECT_FALSE(network(c.network).contains(address(c.outside))) << c.network;
  }
}

TEST(Cidr, IgnoresTheBitsBeyondItsPrefix) {
  EXPECT_EQ(network("10.1.2.3/8"), network("10.0.0.0/8"));
  EXPECT_EQ(network("10.1.2.3/8").text(), "10.0.0.0/8");
}

TEST(Cidr, IsReadBackFromItsText) {
  for (const std::string_view text :
       {"10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"}) {
    EXPECT_EQ(network(text).text(), text);
    EXPECT_EQ(network(network(text).text()), network(text));
  }
  EXPECT_EQ(network("192.0.2.7").text(), "192.0.2.7/32");
}

TEST(Cidr, RefusesWhatIsNotANetwork) {
  for (const std::string_view text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/8/8",
        "10.0.0/8", "::/129", "example.org", "example.org/8", "10.0.0.0/4294967297"}) {
    EXPECT_EQ(Cidr::parse(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace egalaxyd
