#include "worker/protocol/proxy_header.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace egalaxyd {
namespace {

using Step = std::variant<NeedMore, ProxyHeader, NoProxyHeader>;

constexpr std::string_view kV1Start = "PROXY ";
constexpr std::size_t kV1Longest = 107;
constexpr std::string_view kV2Start("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Fixed = 16;
constexpr std::size_t kExtensionHeader = 3;  // type, length

// Version 2: the command, the address family, and the transport protocol.
constexpr unsigned kLocal = 0, kProxy = 1;
constexpr unsigned kUnspecified = 0, kInet = 1, kInet6 = 2, kUnix = 3;
constexpr unsigned kStream = 1, kDatagram = 2;

/// Whether `bytes` are the beginning of `start`, or begin with it.
bool mayBegin(std::string_view bytes, std::string_view start) {
  return bytes.substr(0, start.size()) == start.substr(0, bytes.size());
}

std::string_view takeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

/// An address, which must be of the family that the line has named.
std::optional<IpAddress> takeAddress(std::string_view& line, bool isV6) {
  const std::string_view word = takeWord(line);
  if ((word.find(':') != std::string_view::npos) != isV6) return std::nullopt;
  return IpAddress::parse(word);
}

/// Decimal, without leading zeros.
std::optional<std::uint16_t> parsePort(std::string_view word) {
  std::uint16_t port = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, port);
  const bool valid = error == std::errc() && stop == end && (word == "0" || word.front() != '0');
  return valid ? std::optional(port) : std::nullopt;
}

Step parseV1(std::string_view bytes) {
  const auto end = bytes.substr(0, kV1Longest).find("\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() < kV1Longest ? Step(NeedMore{}) : Step(NoProxyHeader{});
  }
  std::string_view line = bytes.substr(kV1Start.size(), end - kV1Start.size());
  if (line.find_first_of("\r\n") != std::string_view::npos) return NoProxyHeader{};
  const std::string_view family = takeWord(line);
  if (family == "UNKNOWN") return ProxyHeader{end + 2};
  if (family != "TCP4" && family != "TCP6") return NoProxyHeader{};
  const bool isV6 = family == "TCP6";
  const auto client = takeAddress(line, isV6);
  const auto server = takeAddress(line, isV6);
  const auto clientPort = parsePort(takeWord(line));
  // The rest must be the port alone: the protocol allows no space after it.
  if (!client || !server || !clientPort || !parsePort(line)) return NoProxyHeader{};
  return ProxyHeader{end + 2, client, *clientPort};
}

std::uint8_t byteAt(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint8_t>(bytes[index]);
}

/// Two bytes in network order.
std::size_t numberAt(std::string_view bytes, std::size_t index) {
  return byteAt(bytes, index) * 256u + byteAt(bytes, index + 1);
}

/// The size of both addresses and, except for Unix sockets, both ports.
std::size_t addressBytes(unsigned family) {
  switch (family) {
    case kInet:
      return 12;
    case kInet6:
      return 36;
    case kUnix:
      return 216;
    default:
      return 0;
  }
}

/// Whether `bytes` are complete extensions (TLVs), one after the other.
bool areExtensions(std::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < kExtensionHeader) return false;
    const std::size_t size = kExtensionHeader + numberAt(bytes, 1);
    if (bytes.size() < size) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

IpAddress clientAddress(std::string_view addresses, unsigned family) {
  if (family == kInet) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, addresses.data(), sizeof v4.sin_addr);
    return IpAddress::fromSockaddr(*reinterpret_cast<const sockaddr*>(&v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  std::memcpy(&v6.sin6_addr, addresses.data(), sizeof v6.sin6_addr);
  return IpAddress::fromSockaddr(*reinterpret_cast<const sockaddr*>(&v6));
}

Step parseV2(std::string_view bytes) {
  if (bytes.size() < kV2Fixed) return NeedMore{};
  const unsigned version = byteAt(bytes, 12) >> 4;
  const unsigned command = byteAt(bytes, 12) & 0x0f;
  const std::size_t rest = numberAt(bytes, 14);
  if (version != 2 || command > kProxy || kV2Fixed + rest > kMaxProxyHeader) {
    return NoProxyHeader{};
  }
  if (bytes.size() < kV2Fixed + rest) return NeedMore{};
  ProxyHeader header{kV2Fixed + rest};
  if (command == kLocal) return header;  // the protocol says to ignore the family
  const unsigned family = byteAt(bytes, 13) >> 4;
  const unsigned transport = byteAt(bytes, 13) & 0x0f;
  if (family > kUnix || transport > kDatagram) return NoProxyHeader{};
  if (family == kUnspecified || transport == kUnspecified) return header;
  const std::string_view block = bytes.substr(kV2Fixed, rest);
  const std::size_t addresses = addressBytes(family);
  if (block.size() < addresses || !areExtensions(block.substr(addresses))) return NoProxyHeader{};
  if (family != kUnix && transport == kStream) {
    header.client = clientAddress(block, family);
    header.clientPort = static_cast<std::uint16_t>(numberAt(block, family == kInet ? 8 : 32));
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
