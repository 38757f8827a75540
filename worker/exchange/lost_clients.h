// Tells the operator of clients that did not get in, and what to do: they refused the certificate,
// or asked for what is not served.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/wire/ip_address.h"
#include "worker/base/rare_error.h"

namespace egalaxyd {

/// One per worker. Each kind gets a few lines a minute, so that no stranger fills the log. Loop
/// thread only.
class LostClients {
 public:
  explicit LostClients(AddressMask mask) : mask_(mask) {}

  /// `host`: the server name that the client sent, "" without one. `alert`: what it answered the
  /// certificate with, see Transport::refusal().
  void refusedCertificate(const IpAddress& client, std::string_view host, std::string_view alert);
  /// `host` is served by nobody here: the client named it in a request, or in a handshake after
  /// which it left.
  void wantedHost(const IpAddress& client, std::string_view host);
  /// Its request named a port that is not ours.
  void wantedPort(const IpAddress& client, std::string_view host, std::uint16_t port);

 private:
  const AddressMask mask_;
  RareNote refusals_;
  RareNote strangers_;
};

}  // namespace egalaxyd
