// What a certificate says: fingerprints, names and dates as values and texts.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace egalaxyd {

/// Lower-case hex SHA-256 of the DER form, and of the public key (SPKI).
std::string certificateFingerprint(const X509* certificate);
std::string publicKeyFingerprint(const X509* certificate);
/// "CN=Alice,O=…" in UTF-8; control characters escaped.
std::string certificateSubject(const X509* certificate);
/// The first CN, control characters escaped, or "".
std::string certificateCommonName(const X509* certificate);

/// A part of a distinguished name, such as CN and Alice.
struct NamePart {
  std::string name;   ///< OpenSSL's short name, or an OID in digits
  std::string value;  ///< in UTF-8, nothing escaped
};
/// In the certificate's order.
std::vector<NamePart> certificateSubjectParts(const X509* certificate);
std::vector<NamePart> certificateIssuerParts(const X509* certificate);
/// Decimal; "" where it is longer than any authority's.
std::string certificateSerial(const X509* certificate);
/// The DNS names and IP addresses of the SAN extension.
std::vector<std::string> certificateNames(const X509* certificate);
/// Clamped to what the clock can hold (the year 2262), so that comparing with now() is safe. A date
/// that cannot be read never begins, and has ended.
std::chrono::system_clock::time_point certificateNotBefore(const X509* certificate);
std::chrono::system_clock::time_point certificateNotAfter(const X509* certificate);
/// The same for people, not clamped: "4096-01-01T00:00:00Z", or "unreadable".
std::string certificateNotBeforeText(const X509* certificate);
std::string certificateNotAfterText(const X509* certificate);

/// Seconds since 1970, not clamped; 0 for a date that cannot be read.
std::int64_t certificateNotAfterUnix(const X509* certificate);

/// The hosts that a certificate names, to be asked about many: as clients read them, so by the SAN,
/// and only without one by the subject's CNs. A wildcard stands for one label.
class NamedHosts {
 public:
  explicit NamedHosts(const X509* certificate);
  /// `host` as the configuration has it: lower-case, an address without brackets, or
  /// "*.example.org".
  bool hold(const std::string& host) const;

 private:
  std::unordered_set<std::string> names_;
};

/// The file name, without ending, under which a host's certificate and key are kept: by the server
/// in its state folder, and by egalaxyctl, so that one made there can be put into that folder.
std::string certificateFileStem(const std::string& host);

}  // namespace egalaxyd
