#include "tests/support/test_certificates.h"

#include <openssl/bn.h>
#include <openssl/dsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace egalaxyd {
namespace {

struct BignumFree {
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};
using Bignum = std::unique_ptr<BIGNUM, BignumFree>;

/// Two primes, 2^bits - first and 2^bits - second: large ones take long to find.
struct Primes {
  int bits;
  unsigned first;
  unsigned second;
};

EVP_PKEY* fromData(const char* kind, OSSL_PARAM_BLD* builder) {
  const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> parameters(
      OSSL_PARAM_BLD_to_param(builder), &OSSL_PARAM_free);
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr), &EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_fromdata_init(context.get());
  EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get());
  return key;
}

/// `longExponent`: the public exponent is what the private one is otherwise.
EVP_PKEY* rsaOf(const Primes& primes, bool longExponent) {
  const std::unique_ptr<BN_CTX, BignumFree> scratch(BN_CTX_new());
  const Bignum p(BN_new());
  const Bignum q(BN_new());
  const Bignum n(BN_new());
  const Bignum phi(BN_new());
  BN_set_bit(p.get(), primes.bits);
  BN_set_bit(q.get(), primes.bits);
  BN_sub_word(p.get(), primes.first);
  BN_sub_word(q.get(), primes.second);
  BN_mul(n.get(), p.get(), q.get(), scratch.get());
  BN_sub_word(p.get(), 1);
  BN_sub_word(q.get(), 1);
  BN_mul(phi.get(), p.get(), q.get(), scratch.get());
  const Bignum small(BN_new());
  BN_set_word(small.get(), 65537);
  const Bignum large(BN_mod_inverse(nullptr, small.get(), phi.get(), scratch.get()));
  const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> builder(
      OSSL_PARAM_BLD_new(), &OSSL_PARAM_BLD_free);
  OSSL_PARAM_BLD_push_BN(builder.get(), "n", n.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), "e", longExponent ? large.get() : small.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), "d", longExponent ? small.get() : large.get());
  return fromData("RSA", builder.get());
}

EVP_PKEY* makeDsa() {
  EVP_PKEY* parameters = nullptr;
  EVP_PKEY* key = nullptr;
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "DSA", nullptr);
  EVP_PKEY_paramgen_init(context);
  EVP_PKEY_CTX_set_dsa_paramgen_bits(context, 1024);
  EVP_PKEY_paramgen(context, &parameters);
  EVP_PKEY_CTX_free(context);
  context = EVP_PKEY_CTX_new_from_pkey(nullptr, parameters, nullptr);
  EVP_PKEY_keygen_init(context);
  EVP_PKEY_keygen(context, &key);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(parameters);
  return key;
}

KeyPtr makeKey(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::kP224:
      key = EVP_EC_gen("P-224");
      break;
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
    case KeyKind::kEd448:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448");
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
    case KeyKind::kRsa4096:
      key = rsaOf({2048, 1557, 2543}, false);
      break;
    case KeyKind::kRsa8192:
      key = rsaOf({4096, 2549, 8067}, false);
      break;
    case KeyKind::kRsaLongExponent:
      key = rsaOf({1536, 3453, 4977}, true);
      break;
    case KeyKind::kDsa:
      key = makeDsa();
      break;
  }
  if (key == nullptr) throw std::runtime_error("cannot make a key");
  return KeyPtr(key);
}

const EVP_MD* digestFor(KeyKind kind) {
  return kind == KeyKind::kEd25519 || kind == KeyKind::kEd448 ? nullptr : EVP_sha256();
}

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

/// Base64.
constexpr std::string_view kCostlyCertificate =
    "MIIBzDCCAbgCAQEwCgYIKoZIzj0EAwIwADAeFw0yNTAxMDEwMDAwMDBaFw0zMDAxMDEwMDAwMDBaMAAwggGB"
    "MIIBJgYHKoZIzj0CATCCARkCAQEwXgYHKoZIzj0BAQJTHXAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEwBgQBAQQBAQRU"
    "AhEVqdHO5xX0Xq8c0Uu39TMGH7xdCC7qwwNFFZcpObDbQ3OGENX+FAvz0Ke8nfWZEV0nz7JvGSgK6t6bokXW"
    "WKS/WOexT+LWI25TbQqpibQH5xZrAlMQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQIBAQNVAAITAsWIE05eIHs94HX+"
    "EULxpL87O8ubzqF4cNXiTGxg+3827mEaJF4rzYXSgE3/6IuA/TrmthIvbZVlY0NgxmpNmqaWNMQRw184HXkG"
    "cc4jpVdByzAKBggqhkjOPQQDAgMCAAE=";

}  // namespace

std::string costlyCertificate() {
  std::string der(kCostlyCertificate.size(), '\0');
  EVP_DecodeBlock(reinterpret_cast<unsigned char*>(der.data()),
                  reinterpret_cast<const unsigned char*>(kCostlyCertificate.data()),
                  static_cast<int>(kCostlyCertificate.size()));
  der.resize(464);
  return der;
}

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
