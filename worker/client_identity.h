// A client certificate as a value.
#pragma once

#include <chrono>
#include <string>

namespace egalaxyd {

/// Made once per connection, after the handshake proved that the client holds the key. Nothing
/// else about the certificate has been verified.
struct ClientIdentity {
  std::string fingerprint = {};  ///< SHA-256 of the DER certificate, lower-case hex: the user's id
  std::string keyFingerprint = {};  ///< SHA-256 of its public key (SPKI), lower-case hex
  std::string subject = {};         ///< "CN=Alice,O=…"; may be empty
  std::string commonName = {};      ///< may be empty
  std::chrono::system_clock::time_point notBefore = {};
  std::chrono::system_clock::time_point notAfter = {};
};

}  // namespace egalaxyd
