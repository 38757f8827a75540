#include "common/tls/certificate_advice.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <spdlog/fmt/fmt.h>

#include <array>
#include <optional>
#include <utility>

#include "common/tls/certificate_names.h"

namespace egalaxyd {
namespace {

/// What no client takes the key for; nullopt: clients do take it.
std::optional<std::string> uselessKey(const X509* certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  switch (key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return std::nullopt;
    case EVP_PKEY_EC:
      break;
    default:
      return "of a kind";
  }
  std::array<char, 64> curve{};
  if (EVP_PKEY_get_group_name(key, curve.data(), curve.size(), nullptr) != 1) {
    return "on a curve without a name";
  }
  switch (OBJ_txt2nid(curve.data())) {
    case NID_X9_62_prime256v1:
    case NID_secp384r1:
    case NID_secp521r1:
      return std::nullopt;
    default:
      return fmt::format("on the curve {}", curve.data());
  }
}

}  // namespace

std::vector<std::string> certificateAdvice(const X509* certificate,
                                           std::chrono::system_clock::time_point now) {
  std::vector<std::string> advice;
  const auto end = certificateNotAfter(certificate);
  if (now > end) {
    advice.push_back(
        fmt::format("the certificate expired at {}, and clients may refuse it: renew it",
                    certificateNotAfterText(certificate)));
  } else if (end - now < std::chrono::days(kExpiresSoonDays)) {
    advice.push_back(
        fmt::format("the certificate ends at {}: renew it before, and reload the server",
                    certificateNotAfterText(certificate)));
  }
  if (now < certificateNotBefore(certificate)) {
    advice.push_back(fmt::format(
        "the certificate is valid from {} only, and until then clients may refuse it: look at it, "
        "and at this machine's clock",
        certificateNotBeforeText(certificate)));
  }
  if (auto key = uselessKeyAdvice(certificate); !key.empty()) advice.push_back(std::move(key));
  ERR_clear_error();
  return advice;
}

std::string uselessKeyAdvice(const X509* certificate) {
  const auto key = uselessKey(certificate);
  ERR_clear_error();
  if (!key) return "";
  return fmt::format(
      "the certificate's key is {} that no client takes: make one with a key on P-256, as "
      "\"egalaxyctl certificate create\" does",
      *key);
}

}  // namespace egalaxyd
