// Certificates and private keys in files: reading them, making self-signed ones, naming them.
// Blocking; any thread. Every function leaves the thread's OpenSSL error queue empty.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd {

struct X509Free {
  void operator()(X509* certificate) const;
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const;
};
using X509Ptr = std::unique_ptr<X509, X509Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyFree>;

/// A server's identity: the leaf first, then its chain, and the leaf's private key.
struct KeyedCertificate {
  std::vector<X509Ptr> chain;
  KeyPtr key;
};

/// A certificate that the server uses.
struct ServedCertificate {
  std::vector<std::string> hosts;  ///< that it answers for, as the configuration names them
  std::filesystem::path file;
  std::string where;           ///< for complaints: where the configuration asks for it
  const X509* leaf = nullptr;  ///< stays with whoever told
};

/// Every certificate of a PEM file in order, or the one of a DER file.
Result<std::vector<X509Ptr>> readCertificates(const std::filesystem::path& file);
/// A PEM or DER private key; one with a passphrase is refused, nobody is asked for it.
Result<KeyPtr> readPrivateKey(const std::filesystem::path& file);
/// Both, and checks that the key belongs to the first certificate. The message names the file.
Result<KeyedCertificate> readKeyedCertificate(const std::filesystem::path& certificate,
                                              const std::filesystem::path& key);

/// ECDSA P-256, X.509 v3, self-signed, a SAN for each name (DNS or IP), valid from 2020 to
/// 4096-01-01. Names are ASCII; "*.example.org" is one. The subject's first CN is the first name
/// that fits into one (64 bytes: a name that is cut would be another's); each address is a CN too,
/// since there are clients, Lagrange among them, that look for addresses nowhere else. Where no
/// name fits, the subject is O=self-signed.
Result<KeyedCertificate> makeSelfSigned(const std::vector<std::string>& names);
/// Writes `<certificate>` (0644) and `<key>` (0600) as PEM, key first, each complete or not at all;
/// fails with kExists rather than replace a file. No key stays behind without its certificate,
/// unless the process or machine dies between the two.
Result<void> writeKeyedCertificate(const KeyedCertificate& identity,
                                   const std::filesystem::path& certificate,
                                   const std::filesystem::path& key);

}  // namespace egalaxyd
