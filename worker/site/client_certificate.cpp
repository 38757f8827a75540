#include "worker/site/client_certificate.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <utility>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"

namespace egalaxyd {
namespace {

/// Not const: OpenSSL fills caches within a certificate when it reads it.
X509* opened(const ClientIdentity& identity) {
  return const_cast<X509*>(identity.certificate.get());  // NOLINT
}

/// Grants a certificate kClockGrace, as dateFault does.
int forgiveClock(int valid, X509_STORE_CTX* context) {
  if (valid == 1 || X509_STORE_CTX_get_error(context) != X509_V_ERR_CERT_NOT_YET_VALID) {
    return valid;
  }
  const X509* certificate = X509_STORE_CTX_get_current_cert(context);
  if (certificateNotBefore(certificate) > std::chrono::system_clock::now() + kClockGrace) return 0;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

struct ContextFree {
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
};

}  // namespace

std::string_view dateFault(const ClientIdentity& identity,
                           std::chrono::system_clock::time_point now) {
  if (now + kClockGrace < identity.notBefore) return "Your certificate is not valid yet";
  return now > identity.notAfter ? "Your certificate has expired" : "";
}

std::string_view signatureFault(const ClientIdentity& identity) {
  X509* certificate = opened(identity);
  if (certificate == nullptr) return "";
  ERR_clear_error();
  std::string_view fault;
  if (X509_self_signed(certificate, 0) < 0) {
    fault = "Your certificate is malformed";
  } else if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) ==
                 0 &&
             X509_verify(certificate, X509_get0_pubkey(certificate)) != 1) {
    fault = "Your certificate's signature is wrong";
  }
  ERR_clear_error();  // a leftover would fail the next healthy connection
  return fault;
}

void CertificateAuthorities::StoreFree::operator()(X509_STORE* store) const {
  X509_STORE_free(store);
}

Result<CertificateAuthorities> CertificateAuthorities::read(const std::filesystem::path& file) {
  const auto certificates = readCertificates(file);
  if (!certificates) return certificates.error();
  std::unique_ptr<X509_STORE, StoreFree> store(X509_STORE_new());
  bool added = store && X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN) == 1;
  for (const X509Ptr& certificate : *certificates) {
    added = added && X509_STORE_add_cert(store.get(), certificate.get()) == 1;
  }
  ERR_clear_error();
  if (!added) return Error{ErrorCode::kIo, file.string() + ": cannot be used as authorities"};
  return CertificateAuthorities(std::move(store));
}

CertificateAuthorities::Verdict CertificateAuthorities::judge(
    const ClientIdentity& identity) const {
  const std::unique_ptr<X509_STORE_CTX, ContextFree> context(X509_STORE_CTX_new());
  if (!identity.certificate || !context ||
      X509_STORE_CTX_init(context.get(), store_.get(), opened(identity), nullptr) != 1) {
    return Verdict::kStranger;
  }
  X509_STORE_CTX_set_verify_cb(context.get(), forgiveClock);
  const bool verified = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (verified) return Verdict::kSigned;
  return error == X509_V_ERR_CERT_SIGNATURE_FAILURE ? Verdict::kForged : Verdict::kStranger;
}

}  // namespace egalaxyd
