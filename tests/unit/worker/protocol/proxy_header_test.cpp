#include "worker/protocol/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace egalaxyd {
namespace {

using namespace std::string_literals;

const std::string kV2 = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string kV2Tcp4 = kV2 + "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x07\xad"s;

/// "client length", "- length" without a client, "more" or "none".
std::string parsed(std::string_view bytes) {
  const auto step = parseProxyHeader(bytes);
  if (std::holds_alternative<NeedMore>(step)) return "more";
  const auto* header = std::get_if<ProxyHeader>(&step);
  if (header == nullptr) return "none";
  return (header->client ? header->client->text() : "-") + " " + std::to_string(header->length);
}

TEST(ProxyHeader, NamesTheClient) {
  EXPECT_EQ(parsed("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1965\r\n\x16\x03"), "192.0.2.1 46");
  EXPECT_EQ(parsed("PROXY TCP6 2001:db8::1 2001:db8::2 56324 1965\r\n"), "2001:db8::1 47");
  EXPECT_EQ(parsed(kV2Tcp4 + "\x16\x03"), "192.0.2.1 28");
  const std::string v6 = kV2 + "\x21\x21\0\x24"s + "\x20\x01\x0d\xb8"s + std::string(11, '\0') +
                         "\x01"s + std::string(20, '\0');
  EXPECT_EQ(parsed(v6), "2001:db8::1 52");
}

TEST(ProxyHeader, NamesTheClientsPort) {
  const auto port = [](std::string_view bytes) {
    const auto step = parseProxyHeader(bytes);
    return std::get<ProxyHeader>(step).clientPort;
  };
  EXPECT_EQ(port("PROXY TCP4 192.0.2.1 198.51.100.1 56324 1965\r\n"), 56324);
  EXPECT_EQ(port(kV2Tcp4), 56324);
  EXPECT_EQ(port(kV2 + "\x21\x21\0\x24"s + std::string(32, '\1') + "\xdc\x04\x07\xad"s), 56324);
  EXPECT_EQ(port("PROXY UNKNOWN\r\n"), 0);
}

TEST(ProxyHeader, KeepsTheProxysOwnAddressWhereThereIsNoClient) {
  EXPECT_EQ(parsed("PROXY UNKNOWN\r\n"), "- 15");
  EXPECT_EQ(parsed(kV2 + "\x20\0\0\0"s), "- 16");
  EXPECT_EQ(parsed("PROXY UNKNOWN whatever stands here\r\n"), "- 36");
  EXPECT_EQ(parsed(kV2 + "\x20\xff\0\x03xyz"s), "- 19") << "its own: the family is ignored";
  EXPECT_EQ(parsed(kV2 + "\x21\0\0\x03xyz"s), "- 19") << "unspecified";
  EXPECT_EQ(parsed(kV2 + "\x21\x10\0\x03xyz"s), "- 19") << "an unspecified transport";
  EXPECT_EQ(parsed(kV2 + "\x21\x31\0\xd8"s + std::string(216, 'u')), "- 232") << "Unix";
  std::string datagram = kV2Tcp4;
  datagram[13] = '\x12';
  EXPECT_EQ(parsed(datagram), "- 28");
}

TEST(ProxyHeader, TakesAMappedAddressForTheClientThatItNames) {
  EXPECT_EQ(parsed("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 0 65535\r\n"), "192.0.2.1 54");
}

TEST(ProxyHeader, TakesTheLongest) {
  const std::string rest(kMaxProxyHeader - kV2Tcp4.size() - 3, 'x');
  std::string longest = kV2Tcp4 + "\x04\x01\xf9"s + rest;
  longest[14] = '\x02';
  longest[15] = '\x08';
  EXPECT_EQ(parsed(longest), "192.0.2.1 536");
  EXPECT_EQ(parsed(longest + "\x16\x03"), "192.0.2.1 536");
}

TEST(ProxyHeader, StepsOverExtensions) {
  std::string extended = kV2Tcp4 + "\x04\0\x01x"s;
  extended[15] = 16;
  EXPECT_EQ(parsed(extended), "192.0.2.1 32");
}

TEST(ProxyHeader, WaitsForItsEnd) {
  for (const std::string& whole : {"PROXY TCP4 192.0.2.1 198.51.100.1 56324 1965\r\n"s, kV2Tcp4}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_EQ(parsed(whole.substr(0, size)), "more") << size;
    }
  }
}

TEST(ProxyHeader, RefusesWhatIsNone) {
  for (const std::string& bytes :
       {"\x16\x03\x01"s, "gemini://h/\r\n"s, "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n"s,
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n"s, "PROXY TCP4 nonsense 5.6.7.8 1 2\r\n"s,
        "PROXY " + std::string(107, 'x'), kV2 + "\x31\x11\0\x0c"s, kV2 + "\x22\x11\0\x0c"s,
        kV2 + "\x21\x11\xff\xff"s}) {
    EXPECT_EQ(parsed(bytes), "none") << bytes;
  }
}

TEST(ProxyHeader, BelievesNoLineThatIsNotExactlyTheProtocol) {
  for (const char* rest : {"TCP4 192.0.2.1 198.51.100.1 99999 1965",
                           "TCP4 192.0.2.1 198.51.100.1 1 65536",
                           "TCP4 192.0.2.1 198.51.100.1 -1 1965",
                           "TCP4 192.0.2.1 198.51.100.1 +1 1965",
                           "TCP4 192.0.2.1 198.51.100.1 01 1965",
                           "TCP4 192.0.2.1 198.51.100.1 1 0x1",
                           "TCP4 192.0.2.1 198.51.100.1 1",
                           "TCP4 192.0.2.1 198.51.100.1",
                           "TCP4 192.0.2.1",
                           "TCP4",
                           "TCP4 192.0.2.1 198.51.100.1 1 1965 ",
                           "TCP4 192.0.2.1 198.51.100.1 1 1965 2",
                           "TCP4 192.0.2.1  198.51.100.1 1 1965",
                           " TCP4 192.0.2.1 198.51.100.1 1 1965",
                           "TCP4 192.0.2.1 nonsense 1 1965",
                           "TCP4 192.0.2.1 2001:db8::1 1 1965",
                           "TCP6 2001:db8::1 192.0.2.1 1 1965",
                           "TCP4 ::ffff:192.0.2.1 192.0.2.2 1 1965",
                           "TCP4 192.0.2.01 198.51.100.1 1 1965",
                           "TCP4 192.0.2.1 198.51.100.1 1 1965\n",
                           "TCP4 192.0.2.1 198.51.100.1 1 1965\r",
                           "UNKNOWN \n",
                           "UNKNOWNS",
                           "unknown",
                           ""}) {
    EXPECT_EQ(parsed("PROXY "s + rest + "\r\n"), "none") << rest;
  }
}

TEST(ProxyHeader, BelievesNoBlockThatIsShorterThanItsAddresses) {
  const auto block = [](char family, std::size_t size) {
    return kV2 + "\x21"s + family + '\0' + static_cast<char>(size) + std::string(size, '\1');
  };
  for (const auto& [family, addresses] :
       {std::pair('\x11', 12), {'\x12', 12}, {'\x21', 36}, {'\x22', 36}, {'\x31', 216}}) {
    for (const int size : {0, 3, addresses - 1}) {
      EXPECT_EQ(parsed(block(family, static_cast<std::size_t>(size))), "none") << size;
    }
    EXPECT_EQ(parsed(block(family, static_cast<std::size_t>(addresses + 2))), "none")
        << "an extension without its length";
    EXPECT_EQ(parsed(block(family, static_cast<std::size_t>(addresses + 3))), "none")
        << "an extension that is longer than the block";
  }
  for (const char family : {'\x41', '\xf1', '\x13', '\x2f'}) {
    EXPECT_EQ(parsed(block(family, 36)), "none") << "no family or transport of version 2";
  }
}

}  // namespace
}  // namespace egalaxyd
