// Checks client certificates: whether one is valid in itself, and whether an authority that the
// operator chose has signed it.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "worker/base/client_identity.h"

namespace egalaxyd {

/// How far a client's clock, which sets the beginning of its new certificate, may be ahead of ours.
inline constexpr auto kClockGrace = std::chrono::minutes(5);

/// For the client: why the certificate's dates do not allow its use at `now`; "" if they do.
std::string_view dateFault(const ClientIdentity& identity,
                           std::chrono::system_clock::time_point now);

/// For the client: that the certificate is malformed, or self-signed with a wrong signature; "" if
/// neither. Costs one verification of a signature.
std::string_view signatureFault(const ClientIdentity& identity);

/// Authorities that may sign client certificates. Made in the master, used on each worker's loop.
class CertificateAuthorities {
 public:
  /// Every certificate of a PEM file, or the one of a DER file, is trusted, intermediate ones too.
  static Result<CertificateAuthorities> read(const std::filesystem::path& file);

  enum class Verdict {
    kSigned,  ///< one of these signed it, and both are valid now
    kForged,  ///< names one of these as its issuer, but the signature is wrong
    kStranger
  };
  /// Checks neither purposes nor revocation lists.
  Verdict judge(const ClientIdentity& identity) const;

 private:
  struct StoreFree {
    void operator()(X509_STORE* store) const;
  };
  explicit CertificateAuthorities(std::unique_ptr<X509_STORE, StoreFree> store)
      : store_(std::move(store)) {}
  std::unique_ptr<X509_STORE, StoreFree> store_;
};

}  // namespace egalaxyd
