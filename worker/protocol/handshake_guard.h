// Decides whether OpenSSL may parse a peer's handshake message. While it parses certificates,
// OpenSSL decodes the public key of each, at any cost; this checks their encoding first and
// computes nothing. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// The longest message with a client's certificates. Three of RSA-4096 take 5 KiB.
inline constexpr std::size_t kMaxClientCertificates = 8 * 1024;
/// The client's certificate and two that signed it.
inline constexpr std::size_t kMaxClientChain = 3;

/// Of a peer's certificates.
struct CertificateLimits {
  std::size_t bytes = kMaxClientCertificates;
  std::size_t chain = kMaxClientChain;
};
/// A capsule may have more that signed it, or have signed each other.
inline constexpr CertificateLimits kCertificatesOfCapsules{32 * 1024, 8};

/// `message`: a complete message with its header of four bytes, type and length. False for a
/// ClientHello longer than kMaxClientHello, for a compressed certificate, and for a Certificate
/// beyond `limits` or with a key other than these: P-256, P-384 and P-521 by name with an
/// uncompressed point; Ed25519; Ed448; RSA up to 8192 bits with an exponent of at most 33 bits.
/// Certificates must be DER, so that OpenSSL reads the same key. True for all other messages.
bool isCheapToParse(std::string_view message, bool isTls13, CertificateLimits limits = {});

}  // namespace egalaxyd
