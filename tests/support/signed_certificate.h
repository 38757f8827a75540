// Client certificates that an authority signed, and identities as a worker learns them.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "common/tls/certificate_names.h"
#include "tests/support/test_certificates.h"
#include "worker/base/client_identity.h"

namespace egalaxyd {

/// With `key` instead of its own, self-signed again.
inline TestCertificate withKey(TestCertificate made, KeyPtr key) {
  X509_set_pubkey(made.certificate.get(), key.get());
  if (X509_sign(made.certificate.get(), key.get(), EVP_sha256()) == 0) {
    throw std::runtime_error("cannot sign a certificate");
  }
  made.key = std::move(key);
  return made;
}

/// A self-signed certificate that may sign others.
inline TestCertificate makeAuthority(CertificateWish wish = {}) {
  TestCertificate made = makeTestCertificate(wish);
  const std::unique_ptr<BASIC_CONSTRAINTS, decltype(&BASIC_CONSTRAINTS_free)> constraints(
      BASIC_CONSTRAINTS_new(), &BASIC_CONSTRAINTS_free);
  constraints->ca = 0xff;
  X509_add1_ext_i2d(made.certificate.get(), NID_basic_constraints, constraints.get(), 1,
                    X509V3_ADD_DEFAULT);
  X509_sign(made.certificate.get(), made.key.get(), EVP_sha256());
  return made;
}

/// Issued by `authority`; signed by `signer`, which is another key for a forgery.
inline TestCertificate signedBy(const TestCertificate& authority, EVP_PKEY* signer,
                                const CertificateWish& wish = {}) {
  TestCertificate made = makeTestCertificate(wish);
  X509_set_issuer_name(made.certificate.get(), X509_get_subject_name(authority.certificate.get()));
  if (X509_sign(made.certificate.get(), signer, EVP_sha256()) == 0) {
    throw std::runtime_error("cannot sign a certificate");
  }
  return made;
}

inline TestCertificate signedBy(const TestCertificate& authority,
                                const CertificateWish& wish = {}) {
  return signedBy(authority, authority.key.get(), wish);
}

inline std::shared_ptr<const ClientIdentity> identityOf(const TestCertificate& made) {
  X509* certificate = made.certificate.get();
  X509_up_ref(certificate);
  return std::make_shared<const ClientIdentity>(
      ClientIdentity{.fingerprint = certificateFingerprint(certificate),
                     .keyFingerprint = publicKeyFingerprint(certificate),
                     .subject = certificateSubject(certificate),
                     .commonName = certificateCommonName(certificate),
                     .notBefore = certificateNotBefore(certificate),
                     .notAfter = certificateNotAfter(certificate),
                     .certificate = std::shared_ptr<const X509>(certificate, X509Free())});
}

}  // namespace egalaxyd
