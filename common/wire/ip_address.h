// An IP address as a value: 16 bytes, IPv4 in its IPv6-mapped form.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;

namespace egalaxyd {

/// How much of a client's address may appear in logs and records.
enum class AddressMask { kOff, kMasked, kFull };

class IpAddress {
 public:
  /// The unspecified address.
  IpAddress() = default;
  /// Of an AF_INET or AF_INET6 address; anything else gives the unspecified address.
  static IpAddress fromSockaddr(const sockaddr& address);
  /// Of the IPv6 form.
  static IpAddress fromBytes(const std::array<std::uint8_t, 16>& bytes);
  /// "192.0.2.1", "2001:db8::1"; no brackets, no port, no zone.
  static std::optional<IpAddress> parse(std::string_view text);

  bool isV4() const;
  std::string text() const;
  /// kMasked: IPv4 to its /24, IPv6 to its /48; kOff: "-".
  std::string text(AddressMask mask) const;
  /// What limits per client count by: the IPv4 address, or the IPv6 /64.
  IpAddress limitKey() const;
  /// The same for those that have one limitKey() in common, and for no others.
  std::uint64_t limitNumber() const;
  /// The first `bits` bits of the IPv6 form, the rest zero.
  IpAddress prefix(unsigned bits) const;

  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

/// A network: "10.0.0.0/8", "2001:db8::/32", or one address. Address bits beyond the prefix are
/// ignored. "::/0" is every IPv6 address and no IPv4 one; "0.0.0.0/0" the other way round.
class Cidr {
 public:
  static std::optional<Cidr> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  /// The network and its bits, "192.0.2.7/32" for one address.
  std::string text() const;
  bool operator==(const Cidr&) const = default;

 private:
  bool isV4() const;

  IpAddress network_;
  unsigned bits_ = 128;  ///< of the IPv6 form
};

}  // namespace egalaxyd
