#include "tests/support/test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <stdexcept>

namespace egalaxyd {
namespace {

KeyPtr makeKey(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::kP256:
      key = EVP_EC_gen("P-256");
      break;
    case KeyKind::kP384:
      key = EVP_EC_gen("P-384");
      break;
    case KeyKind::kP521:
      key = EVP_EC_gen("P-521");
      break;
    case KeyKind::kSecp256k1:
      key = EVP_EC_gen("secp256k1");
      break;
    case KeyKind::kBrainpool:
      key = EVP_EC_gen("brainpoolP256r1");
      break;
    case KeyKind::kEd25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
    case KeyKind::kRsa1024:
      key = EVP_RSA_gen(1024);
      break;
    case KeyKind::kRsa2048:
      key = EVP_RSA_gen(2048);
      break;
  }
  if (key == nullptr) throw std::runtime_error("cannot make a key");
  return KeyPtr(key);
}

const EVP_MD* digestFor(KeyKind kind) { return kind == KeyKind::kEd25519 ? nullptr : EVP_sha256(); }

void addComment(X509* certificate, const std::string& text) {
  X509_EXTENSION* comment =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_netscape_comment, text.c_str());
  if (comment == nullptr) throw std::runtime_error("cannot make an extension");
  X509_add_ext(certificate, comment, -1);
  X509_EXTENSION_free(comment);
}

template <class Write>
void writeFile(const std::filesystem::path& file, Write write) {
  std::FILE* out = std::fopen(file.c_str(), "we");
  if (out == nullptr) throw std::runtime_error("cannot write " + file.string());
  const bool ok = write(out) == 1;
  if (std::fclose(out) != 0 || !ok) throw std::runtime_error("cannot write " + file.string());
}

}  // namespace

TestCertificate makeTestCertificate(const CertificateWish& wish) {
  constexpr long kDay = 24L * 60 * 60;
  TestCertificate made{X509Ptr(X509_new()), makeKey(wish.key)};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, wish.version1 ? X509_VERSION_1 : X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), wish.fromDays * kDay + wish.fromSeconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate), wish.toDays * kDay);
  X509_NAME* name = X509_get_subject_name(certificate);
  if (!wish.commonName.empty()) {
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.commonName.data()),
                               static_cast<int>(wish.commonName.size()), -1, 0);
  }
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, made.key.get());
  if (wish.padding > 0) addComment(certificate, std::string(wish.padding, 'x'));
  const KeyPtr stranger = wish.foreignSignature ? makeKey(wish.key) : nullptr;
  EVP_PKEY* signer = stranger ? stranger.get() : made.key.get();
  if (X509_sign(certificate, signer, digestFor(wish.key)) == 0) {
    throw std::runtime_error("cannot sign a certificate");
  }
  return made;
}

void TestCertificate::writePem(const std::filesystem::path& certificateFile,
                               const std::filesystem::path& keyFile) const {
  writeFile(certificateFile,
            [&](std::FILE* out) { return PEM_write_X509(out, certificate.get()); });
  writeFile(keyFile, [&](std::FILE* out) {
    return PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace egalaxyd
