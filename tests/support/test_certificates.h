// Client certificates of every kind that the small web has seen.
#pragma once

#include <filesystem>
#include <string>

#include "common/tls/certificate.h"

namespace egalaxyd {

enum class KeyKind {
  kP224,
  kP256,
  kP384,
  kP521,
  kSecp256k1,
  kBrainpool,
  kEd25519,
  kEd448,
  kRsa1024,
  kRsa2048,
  kRsa4096,
  kRsa8192,
  kRsaLongExponent,  ///< 3072 bits, and an exponent of nearly as many
  kDsa
};

struct CertificateWish {
  KeyKind key = KeyKind::kP256;
  std::string commonName = "Alice";  ///< "": an empty subject
  int fromDays = -1;                 ///< notBefore, counted from today
  int fromSeconds = 0;               ///< added to that
  int toDays = 365;
  bool foreignSignature = false;  ///< claims to be self-signed, but another key signed it
  bool version1 = false;          ///< X.509 v1, as Lagrange makes them
  std::size_t padding = 0;        ///< bytes of a comment that nobody reads
};

struct TestCertificate {
  X509Ptr certificate;
  KeyPtr key;

  void writePem(const std::filesystem::path& certificateFile,
                const std::filesystem::path& keyFile) const;
};

TestCertificate makeTestCertificate(const CertificateWish& wish = {});

/// The DER of a certificate whose key brings its own curve, over a prime of 661 bits that makes the
/// decompression of its point as slow as can be: OpenSSL needs a fifth of a second to read it.
std::string costlyCertificate();

}  // namespace egalaxyd
