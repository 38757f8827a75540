#include "worker/dynamic/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>

#include "worker/protocol/proxy_header.h"

namespace egalaxyd {
namespace {

using namespace std::string_view_literals;

TEST(ProxyProtocol, NamesTheClient) {
  const IpAddress v4 = *IpAddress::parse("192.0.2.7");
  const IpAddress v6 = *IpAddress::parse("2001:db8::1");
  EXPECT_EQ(encodeProxyHeader(ProxyProtocol::kOff, v4, 56324, 1965), "");
  EXPECT_EQ(encodeProxyHeader(ProxyProtocol::kV1, v4, 56324, 1965),
            "PROXY TCP4 192.0.2.7 0.0.0.0 56324 1965\r\n");
  EXPECT_EQ(encodeProxyHeader(ProxyProtocol::kV1, v6, 1, 1966),
            "PROXY TCP6 2001:db8::1 :: 1 1966\r\n");
  EXPECT_EQ(encodeProxyHeader(ProxyProtocol::kV2, v4, 56324, 1965),
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\0\0\0\0\xdc\x04\x07\xad"sv);
}

TEST(ProxyProtocol, IsReadAsItWasMeant) {
  for (const char* address : {"192.0.2.7", "2001:db8::1"}) {
    for (const ProxyProtocol version : {ProxyProtocol::kV1, ProxyProtocol::kV2}) {
      const std::string sent = encodeProxyHeader(version, *IpAddress::parse(address), 56324, 1965);
      const auto step = parseProxyHeader(sent);
      const auto& header = std::get<ProxyHeader>(step);
      EXPECT_EQ(header.length, sent.size());
      EXPECT_EQ(header.client, IpAddress::parse(address));
      EXPECT_EQ(header.clientPort, 56324);
    }
  }
}

}  // namespace
}  // namespace egalaxyd
