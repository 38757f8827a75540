// A client certificate as a value.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

struct x509_st;  // OpenSSL's X509

namespace egalaxyd {

/// Made once per connection, after the handshake proved that the client holds the key. Nothing
/// else about the certificate has been verified; see worker/site/client_certificate.h.
struct ClientIdentity {
  std::string fingerprint = {};  ///< SHA-256 of the DER certificate, lower-case hex: the user's id
  std::string keyFingerprint = {};  ///< SHA-256 of its public key (SPKI), lower-case hex
  std::string subject = {};         ///< "CN=Alice,O=…"; may be empty
  std::string commonName = {};      ///< may be empty
  std::chrono::system_clock::time_point notBefore = {};
  std::chrono::system_clock::time_point notAfter = {};
  std::shared_ptr<const x509_st> certificate = {};  ///< loop thread only; nullptr: not kept

  const std::string& certificateId() const { return fingerprint; }

  /// Three words such as "lusab-babad-gutih", made from the fingerprint, so that people can tell
  /// certificates apart. Too short to prove anything.
  std::string readableId() const {
    constexpr const char* kConsonants = "bdfghjklmnprstvz";
    constexpr const char* kVowels = "aiou";
    std::string words;
    for (std::size_t at = 0; at < 12 && at + 4 <= fingerprint.size(); at += 4) {
      std::uint32_t bits = 0;
      std::from_chars(fingerprint.data() + at, fingerprint.data() + at + 4, bits, 16);
      if (at > 0) words += '-';
      words += kConsonants[bits >> 12 & 15];
      words += kVowels[bits >> 10 & 3];
      words += kConsonants[bits >> 6 & 15];
      words += kVowels[bits >> 4 & 3];
      words += kConsonants[bits & 15];
    }
    return words;
  }
};

}  // namespace egalaxyd
