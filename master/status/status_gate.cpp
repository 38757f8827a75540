#include "master/status/status_gate.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/sha256.h"
#include "common/base/units.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {
namespace {

constexpr std::array<std::pair<std::string_view, StatusPart>, 4> kParts{
    {{"/", StatusPart::kPage},
     {"/status.json", StatusPart::kFigures},
     {"/metrics", StatusPart::kMetrics},
     {"/healthz", StatusPart::kHealth}}};

/// Longer credentials are wrong ones.
constexpr std::size_t kMostCredentials = 1024;

std::optional<StatusPart> partOf(std::string_view path) {
  const auto found = std::ranges::find(kParts, path, &decltype(kParts)::value_type::first);
  return found == kParts.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t sinceOf(std::string_view query) {
  constexpr std::string_view kKey = "since=";
  if (!query.starts_with(kKey)) return 0;
  const auto number = parseNumber(query.substr(kKey.size()), 0, INT64_MAX);
  return number ? static_cast<std::uint64_t>(*number) : 0;
}

/// Without its port, and without the brackets of an IPv6 address.
std::string_view nameIn(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

/// Whether only this machine has that name, whoever answers for it in the DNS. A client that sends
/// none is no browser.
bool isLocalName(std::string_view host) {
  if (host.empty()) return true;
  const std::string name = lowerCase(nameIn(host));
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  const auto address = IpAddress::parse(name);
  const auto networks = loopbackNetworks();
  return address && std::ranges::any_of(
                        networks, [&](const Cidr& network) { return network.contains(*address); });
}

std::optional<std::string> decodeBase64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  // What the padding stands for was decoded as zeros.
  bytes.resize(static_cast<std::size_t>(size) - (text.ends_with("==")  ? 2
                                                 : text.ends_with('=') ? 1
                                                                       : 0));
  return bytes;
}

/// The token that the header carries, whatever it is.
std::optional<std::string> tokenIn(std::string_view authorization) {
  if (authorization.size() > kMostCredentials) return std::nullopt;
  const std::size_t space = authorization.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string scheme = lowerCase(authorization.substr(0, space));
  authorization.remove_prefix(
      std::min(authorization.find_first_not_of(' ', space), authorization.size()));
  if (scheme == "bearer") return std::string(authorization);
  if (scheme != "basic") return std::nullopt;
  const auto pair = decodeBase64(authorization);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return pair->substr(colon + 1);
}

bool knowsToken(std::string_view authorization, const TokenDigest& token) {
  const auto sent = tokenIn(authorization);
  if (!sent) return false;
  const std::string digest = sha256Hex(*sent);
  return digest.size() == token.hex.size() &&
         CRYPTO_memcmp(digest.data(), token.hex.data(), digest.size()) == 0;
}

}  // namespace

StatusVerdict judge(const StatusRequest& request, const TokenDigest& token) {
  const std::size_t question = std::min(request.target.find('?'), request.target.size());
  const auto part = partOf(request.target.substr(0, question));
  if (part != StatusPart::kHealth) {
    if (token.hex.empty() && !isLocalName(request.host)) {
      return {421, {}, "This page answers to names of this machine alone, such as localhost.\n"};
    }
    if (!token.hex.empty() && !knowsToken(request.authorization, token)) {
      return {401, {}, "This page asks for the token: as the password, with any user name.\n"};
    }
  }
  if (request.method != "GET" && request.method != "HEAD") {
    return {405, {}, "This page can only be read: GET and HEAD.\n"};
  }
  if (!part) return {404, {}, "There are /, /metrics, /healthz and /status.json.\n"};
  const std::string_view query =
      request.target.substr(std::min(question + 1, request.target.size()));
  return {200, *part, {}, sinceOf(query)};
}

}  // namespace egalaxyd
