#include "worker/protocol/proxy_header.h"

#include <gtest/gtest.h>

#include <string>

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

TEST(ProxyHeader, KeepsTheProxysOwnAddressWhereThereIsNoClient) {
  EXPECT_EQ(parsed("PROXY UNKNOWN\r\n"), "- 15");
  EXPECT_EQ(parsed(kV2 + "\x20\0\0\0"s), "- 16");
  EXPECT_EQ(parsed(kV2 + "\x21\x31\0\x01x"s), "- 17") << "a Unix socket";
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

}  // namespace
}  // namespace egalaxyd
