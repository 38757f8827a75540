// One TLS context per certificate, chosen by the name that the client asks for.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "common/config/findings.h"
#include "common/tls/certificate.h"
#include "worker/route/router.h"

namespace Poco::Net {
class Context;
}

namespace egalaxyd {

/// Made in the master before the fork, with the keys loaded; read-only afterwards. TLS 1.2 and 1.3;
/// client certificates are requested but not verified; no resumption, tickets, early data or
/// renegotiation.
class TlsContexts {
 public:
  /// `makeMissing`: create and keep automatic certificates in `<state>/certificates`; without it
  /// (--check) a missing one is made for this process only. A router without sites gets one for
  /// this machine's name. What cannot be read is a complaint; where `kept` was made from the same
  /// files it is taken from there instead, silently.
  static std::unique_ptr<TlsContexts> build(const Config& config, bool makeMissing,
                                            Findings& findings, const TlsContexts* kept = nullptr);
  ~TlsContexts();

  /// The context that handshakes begin with; its servername callback switches to the host's own.
  /// nullptr if build() complained, or there are neither sites nor a router.
  SSL_CTX* initial() const;
  /// In the order of the configuration, that of [tls] first.
  const std::vector<ServedCertificate>& served() const;
  /// What build() warned of, as it is at `now`: certificates that have expired, end soon, are not
  /// valid yet, or do not name their hosts. Takes milliseconds for thousands of them.
  Complaints warnings(std::chrono::system_clock::time_point now) const;

 private:
  TlsContexts();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace egalaxyd
