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

/// Who put a certificate where the server finds it: the operator, who names it in the
/// configuration; egalaxyctl certificate install; the server itself.
enum class CertificateOrigin { kConfigured, kInstalled, kAutomatic };
/// "configured".
constexpr const char* nameOf(CertificateOrigin origin) {
  return origin == CertificateOrigin::kConfigured  ? "configured"
         : origin == CertificateOrigin::kInstalled ? "installed"
                                                   : "automatic";
}

/// A certificate and its key; one file may hold both.
struct CertificateFiles {
  std::filesystem::path certificate;
  std::filesystem::path key;
  CertificateOrigin origin = CertificateOrigin::kConfigured;
};

/// A certificate that the server uses.
struct ServedCertificate {
  std::vector<std::string> hosts = {};  ///< that it answers for, as the configuration names them
  std::filesystem::path file = {};
  std::string where = {};      ///< for complaints: where the configuration asks for it
  const X509* leaf = nullptr;  ///< stays with whoever told
  std::filesystem::path key = {};
  CertificateOrigin origin = CertificateOrigin::kConfigured;
  std::string owner = {};   ///< the host whose files in the state folder they are; "": configured
  std::string digest = {};  ///< chainDigest()
};

/// Every certificate of a PEM file in order, or the one of a DER file.
Result<std::vector<X509Ptr>> readCertificates(const std::filesystem::path& file);
/// A PEM or DER private key; one with a passphrase is refused, nobody is asked for it.
Result<KeyPtr> readPrivateKey(const std::filesystem::path& file);
/// Both, and checks that the key belongs to the first certificate. The message names the file.
Result<KeyedCertificate> readKeyedCertificate(const std::filesystem::path& certificate,
                                              const std::filesystem::path& key);

/// The same as texts, for what is no file.
struct KeyedPem {
  std::string certificate;
  std::string key;
};
Result<KeyedPem> toPem(const KeyedCertificate& identity);
/// As readKeyedCertificate(); `name` stands for the files in messages.
Result<KeyedCertificate> fromPem(const KeyedPem& pem, const std::string& name);

/// SHA-256 of the whole chain, lower-case hex: whether two are the same.
std::string chainDigest(const std::vector<X509Ptr>& chain);

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
/// Writes the chain and behind it the key into one `file` (0600), in place of one that may be
/// there: a reader sees the old one or the new one whole, and so does a start after a power cut.
Result<void> replaceKeyedCertificate(const KeyedCertificate& identity,
                                     const std::filesystem::path& file);

}  // namespace egalaxyd
