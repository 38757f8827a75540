#include "worker/exchange/lost_clients.h"

#include <spdlog/fmt/fmt.h>

#include <string>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

/// Bytes of what a client sent.
constexpr std::size_t kMostTold = 256;

std::string quoted(std::string_view sent) { return logQuote(sent.substr(0, kMostTold)); }

std::string_view remedy(std::string_view alert) {
  if (alert == "unknown_ca") {
    return "it trusts authorities alone: let it trust this certificate (\"egalaxyctl certificate "
           "list\" shows its SHA-256), or name one that an authority signed (certificate, key)";
  }
  if (alert == "certificate_expired") {
    return "renew it; \"egalaxyctl certificate list\" shows when each one ends";
  }
  return "it may have pinned another one, or this one may not name the host: compare with "
         "\"egalaxyctl certificate list\"";
}

}  // namespace

void LostClients::refusedCertificate(const IpAddress& client, std::string_view host,
                                     std::string_view alert) {
  const std::string where = host.empty() ? "" : fmt::format(" for \"{}\"", quoted(host));
  refusals_.log(fmt::format("a client at {} refused the certificate{} ({}): {}", client.text(mask_),
                            where, alert, remedy(alert)));
}

void LostClients::wantedHost(const IpAddress& client, std::string_view host) {
  strangers_.log(
      fmt::format("a client at {} wanted \"{}\", which is not served here: to serve it, name it in "
                  "[sites] or among a site's aliases",
                  client.text(mask_), quoted(host)));
}

void LostClients::wantedPort(const IpAddress& client, std::string_view host, std::uint16_t port) {
  strangers_.log(
      fmt::format("a client at {} wanted port {} of \"{}\", which is not served here: one that is "
                  "forwarded to this server belongs into listen.public_ports",
                  client.text(mask_), port, quoted(host)));
}

}  // namespace egalaxyd
