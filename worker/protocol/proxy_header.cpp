#include "worker/protocol/proxy_header.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace egalaxyd {
namespace {

using Step = std::variant<NeedMore, ProxyHeader, NoProxyHeader>;

constexpr std::string_view kV1Start = "PROXY ";
constexpr std::size_t kV1Longest = 107;
constexpr std::string_view kV2Start("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Fixed = 16;

/// Whether `bytes` may still become something that begins with `start`.
bool mayBegin(std::string_view bytes, std::string_view start) {
  return bytes.substr(0, start.size()) == start.substr(0, bytes.size());
}

std::string_view takeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

Step parseV1(std::string_view bytes) {
  const auto end = bytes.substr(0, kV1Longest).find("\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() < kV1Longest ? Step(NeedMore{}) : Step(NoProxyHeader{});
  }
  std::string_view line = bytes.substr(kV1Start.size(), end - kV1Start.size());
  const std::string_view family = takeWord(line);
  if (family == "UNKNOWN") return ProxyHeader{end + 2, std::nullopt};
  if (family != "TCP4" && family != "TCP6") return NoProxyHeader{};
  const auto client = IpAddress::parse(takeWord(line));
  if (!client || client->isV4() != (family == "TCP4")) return NoProxyHeader{};
  return ProxyHeader{end + 2, client};
}

std::uint8_t byteAt(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint8_t>(bytes[index]);
}

Step parseV2(std::string_view bytes) {
  if (bytes.size() < kV2Fixed) return NeedMore{};
  const unsigned version = byteAt(bytes, 12) >> 4;
  const unsigned command = byteAt(bytes, 12) & 0x0f;
  const std::size_t rest = byteAt(bytes, 14) * 256u + byteAt(bytes, 15);
  if (version != 2 || command > 1 || kV2Fixed + rest > kMaxProxyHeader) return NoProxyHeader{};
  if (bytes.size() < kV2Fixed + rest) return NeedMore{};
  ProxyHeader header{kV2Fixed + rest, std::nullopt};
  if (command == 0) return header;
  const std::string_view addresses = bytes.substr(kV2Fixed, rest);
  const unsigned family = byteAt(bytes, 13) >> 4;
  if (family == 1 && addresses.size() >= 12) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, addresses.data(), sizeof v4.sin_addr);
    header.client = IpAddress::fromSockaddr(*reinterpret_cast<const sockaddr*>(&v4));
  } else if (family == 2 && addresses.size() >= 36) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, addresses.data(), sizeof v6.sin6_addr);
    header.client = IpAddress::fromSockaddr(*reinterpret_cast<const sockaddr*>(&v6));
  }
  return header;
}

}  // namespace

Step parseProxyHeader(std::string_view bytes) {
  if (bytes.size() >= kV2Start.size() && bytes.starts_with(kV2Start)) return parseV2(bytes);
  if (bytes.size() >= kV1Start.size() && bytes.starts_with(kV1Start)) return parseV1(bytes);
  if (mayBegin(bytes, kV1Start) || mayBegin(bytes, kV2Start)) return NeedMore{};
  return NoProxyHeader{};
}

}  // namespace egalaxyd
