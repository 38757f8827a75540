#include "worker/dynamic/proxy_protocol.h"

#include <string_view>

namespace egalaxyd {
namespace {

constexpr std::size_t kV4Size = 4;
constexpr std::size_t kV6Size = 16;

void addPort(std::string& to, std::uint16_t port) {
  to += static_cast<char>(port >> 8);
  to += static_cast<char>(port & 0xFF);
}

std::string encodeV1(const IpAddress& client, std::uint16_t clientPort, std::uint16_t port) {
  return (client.isV4() ? "PROXY TCP4 " + client.text() + " 0.0.0.0 "
                        : "PROXY TCP6 " + client.text() + " :: ") +
         std::to_string(clientPort) + ' ' + std::to_string(port) + "\r\n";
}

std::string encodeV2(const IpAddress& client, std::uint16_t clientPort, std::uint16_t port) {
  constexpr char kProxyVersion2 = '\x21';
  constexpr char kTcp4 = '\x11';
  constexpr char kTcp6 = '\x21';
  const std::size_t size = client.isV4() ? kV4Size : kV6Size;
  std::string header("\r\n\r\n\0\r\nQUIT\n", 12);
  header += kProxyVersion2;
  header += client.isV4() ? kTcp4 : kTcp6;
  addPort(header, static_cast<std::uint16_t>(2 * size + 4));  // the length of what follows
  header.append(client.bytes().end() - size, client.bytes().end());
  header.append(size, '\0');
  addPort(header, clientPort);
  addPort(header, port);
  return header;
}

}  // namespace

std::string encodeProxyHeader(ProxyProtocol version, const IpAddress& client,
                              std::uint16_t clientPort, std::uint16_t port) {
  switch (version) {
    case ProxyProtocol::kOff:
      break;
    case ProxyProtocol::kV1:
      return encodeV1(client, clientPort, port);
    case ProxyProtocol::kV2:
      return encodeV2(client, clientPort, port);
  }
  return "";
}

}  // namespace egalaxyd
