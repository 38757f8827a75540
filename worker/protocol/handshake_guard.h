// Whether OpenSSL may parse a client's handshake message. It decodes the public key of every
// certificate while it parses them, whatever the key costs; this looks at their encoding first and
// computes nothing. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// Bytes of the message that carries a client's certificates. Three of RSA-4096 take 5 KiB.
inline constexpr std::size_t kMaxClientCertificates = 8 * 1024;
/// A client's own and two that signed it.
inline constexpr std::size_t kMaxClientChain = 3;

/// `message`: a whole message with its header of four bytes, type and length. False for a
/// ClientHello longer than kMaxClientHello, and for a Certificate beyond the limits above or with
/// a key other than these: P-256, P-384 and P-521 by name with an uncompressed point; Ed25519;
/// Ed448; RSA up to 8192 bits with an exponent below 2^33. Certificates must be DER, so that
/// OpenSSL reads the same key. Other messages are always right.
bool isCheapToParse(std::string_view message, bool isTls13);

}  // namespace egalaxyd
