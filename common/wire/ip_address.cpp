#include "common/wire/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "common/base/number.h"

namespace egalaxyd {
namespace {

constexpr std::array<std::uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned kV4PrefixBits = 96;

}  // namespace

IpAddress IpAddress::fromSockaddr(const sockaddr& address) {
  IpAddress result;
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    std::copy(kV4Prefix.begin(), kV4Prefix.end(), result.bytes_.begin());
    std::memcpy(result.bytes_.data() + kV4Prefix.size(), &v4.sin_addr, sizeof v4.sin_addr);
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(result.bytes_.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  }
  return result;
}

IpAddress IpAddress::fromBytes(const std::array<std::uint8_t, 16>& bytes) {
  IpAddress result;
  result.bytes_ = bytes;
  return result;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton stops at a NUL and would accept what stands before it.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string copy(text);
  IpAddress result;
  if (inet_pton(AF_INET6, copy.c_str(), result.bytes_.data()) == 1) return result;
  std::copy(kV4Prefix.begin(), kV4Prefix.end(), result.bytes_.begin());
  if (inet_pton(AF_INET, copy.c_str(), result.bytes_.data() + kV4Prefix.size()) == 1) return result;
  return std::nullopt;
}

bool IpAddress::isV4() const {
  return std::equal(kV4Prefix.begin(), kV4Prefix.end(), bytes_.begin());
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (isV4()) {
    inet_ntop(AF_INET, bytes_.data() + kV4Prefix.size(), buffer.data(), buffer.size());
  } else {
    inet_ntop(AF_INET6, bytes_.data(), buffer.data(), buffer.size());
  }
  return buffer.data();
}

std::string IpAddress::text(AddressMask mask) const {
  if (mask == AddressMask::kOff) return "-";
  if (mask == AddressMask::kFull) return text();
  return prefix(isV4() ? kV4PrefixBits + 24 : 48).text();
}

IpAddress IpAddress::limitKey() const { return isV4() ? *this : prefix(64); }

std::uint64_t IpAddress::limitNumber() const {
  // One half of an IPv4 address is always 0, and the other half of an IPv6 network.
  const IpAddress key = limitKey();
  std::uint64_t number = 0;
  for (std::size_t byte = 0; byte < key.bytes_.size() / 2; ++byte) {
    number = number << 8 | (key.bytes_[byte] ^ key.bytes_[byte + 8]);
  }
  return number;
}

IpAddress IpAddress::prefix(unsigned bits) const {
  IpAddress result = *this;
  for (unsigned byte = 0; byte < result.bytes_.size(); ++byte) {
    const unsigned kept = bits > byte * 8 ? std::min(bits - byte * 8, 8U) : 0;
    result.bytes_[byte] &= static_cast<std::uint8_t>(0xff00U >> kept);
  }
  return result;
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  Cidr result;
  const bool dotted = text.find(':') == std::string_view::npos;
  if (slash != std::string_view::npos) {
    const auto bits = parseNumber(text.substr(slash + 1), 0, dotted ? 32 : 128);
    if (!bits) return std::nullopt;
    result.bits_ = static_cast<unsigned>(*bits) + (dotted ? kV4PrefixBits : 0);
  }
  result.network_ = address->prefix(result.bits_);
  return result;
}

bool Cidr::isV4() const { return bits_ >= kV4PrefixBits && network_.isV4(); }

bool Cidr::contains(const IpAddress& address) const {
  return address.isV4() == isV4() && address.prefix(bits_) == network_;
}

std::string Cidr::text() const {
  const unsigned bits = isV4() ? bits_ - kV4PrefixBits : bits_;
  return network_.text() + "/" + std::to_string(bits);
}

}  // namespace egalaxyd
