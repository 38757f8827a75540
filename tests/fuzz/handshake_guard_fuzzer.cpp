// The look at a client's handshake messages: a certificate that passes has, as OpenSSL reads it, a
// key of the allowed kinds. The first byte of the input chooses the version of TLS.
#include "worker/protocol/handshake_guard.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>

#include "tests/fuzz/support.h"
#include "worker/protocol/client_hello.h"

namespace egalaxyd::fuzz {
namespace {

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};

std::size_t numberAt(std::string_view bytes, std::size_t at, std::size_t size) {
  std::size_t number = 0;
  for (const char c : bytes.substr(at, size)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

bool isNamedCurve(const EVP_PKEY* key) {
  char encoding[32] = "";
  std::size_t length = 0;
  return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding,
                                        &length) == 1 &&
         std::string_view(encoding, length) == OSSL_PKEY_EC_ENCODING_GROUP;
}

int exponentBits(const EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent);
  const std::unique_ptr<BIGNUM, Free> owner(exponent);
  return exponent == nullptr ? 0 : BN_num_bits(exponent);
}

void requireCheapKey(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      require(EVP_PKEY_get_bits(key) <= 8192, "a short modulus");
      return require(exponentBits(key) <= 33, "a short exponent");
    case EVP_PKEY_EC:
      return require(isNamedCurve(key), "a curve by name");
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return;
    default:
      require(false, "a key of an allowed kind");
  }
}

void requireCheapChain(std::string_view message, bool isTls13) {
  require(message.size() <= 4 + kMaxClientCertificates, "a short message");
  std::size_t at = 4;
  if (isTls13) at += 1 + numberAt(message, at, 1);
  at += 3;
  std::size_t count = 0;
  for (; at < message.size(); ++count) {
    const std::size_t size = numberAt(message, at, 3);
    const auto* begin = reinterpret_cast<const unsigned char*>(message.data()) + at + 3;
    const auto* from = begin;
    const std::unique_ptr<X509, Free> certificate(
        d2i_X509(nullptr, &from, static_cast<long>(size)));
    if (certificate) {
      require(from == begin + size, "one certificate and nothing behind it");
      const EVP_PKEY* key = X509_get0_pubkey(certificate.get());
      if (key != nullptr) requireCheapKey(key);
    }
    ERR_clear_error();
    at += 3 + size;
    if (isTls13) at += 2 + numberAt(message, at, 2);
  }
  require(at == message.size(), "entries that fill the message");
  require(count <= kMaxClientChain, "a short chain");
}

}  // namespace

void handshake_guard(std::string_view input) {
  if (input.empty()) return;
  const bool isTls13 = (input.front() & 1) != 0;
  const std::string_view message = input.substr(1);
  if (!isCheapToParse(message, isTls13) || message.size() < 4) return;
  if (message.front() == 1) require(message.size() <= kMaxClientHello, "a short hello");
  if (message.front() == 11) requireCheapChain(message, isTls13);
}

}  // namespace egalaxyd::fuzz
