// Certificates by which clients say who they are. Made and written as a server's are, in
// certificate.cpp. Blocking; any thread. Every function leaves the thread's OpenSSL error queue
// empty.
#pragma once

#include <filesystem>
#include <string>

#include "common/tls/certificate.h"

namespace egalaxyd {

/// As makeSelfSigned() makes it, but for clientAuth, without SAN, and CN = `name`, which is 1 to 64
/// bytes of UTF-8 without control characters.
Result<KeyedCertificate> makeClientCertificate(const std::string& name);

/// Writes the certificates and their key into one new `file` (0600), complete or not at all; fails
/// with kExists rather than replace a file.
Result<void> writeIdentity(const KeyedCertificate& identity, const std::filesystem::path& file);

}  // namespace egalaxyd
