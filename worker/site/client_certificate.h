// What a client certificate is worth where one matters: whether it is sound in itself, and whether
// an authority of the operator's choice signed it.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "worker/base/client_identity.h"

namespace egalaxyd {

/// How far a client's clock, which its new certificate begins by, may be ahead of ours.
inline constexpr auto kClockGrace = std::chrono::minutes(5);

/// Why the certificate's dates do not allow it to be used at `now`, for the client; "" when they
/// do.
std::string_view dateFault(const ClientIdentity& identity,
                           std::chrono::system_clock::time_point now);

/// Whether the certificate is malformed, or says that it signed itself and did not, for the client;
/// "" when it is sound. Costs one verification of a signature.
std::string_view signatureFault(const ClientIdentity& identity);

/// Certificates whose signature counts. Made in the master, used on each worker's loop.
class CertificateAuthorities {
 public:
  /// Every certificate of a PEM file, or the one of a DER file, is trusted, intermediate ones too.
  static Result<CertificateAuthorities> read(const std::filesystem::path& file);

  enum class Verdict {
    kSigned,  ///< one of these signed it, and both are valid now
    kForged,  ///< it names one of these as its signer, which did not sign it
    kStranger
  };
  /// Purposes are not enforced, revocation lists not asked for.
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
