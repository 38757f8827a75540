// A request as sites see it: a value without sockets, TLS or protocol details.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/ip_address.h"
#include "worker/client_identity.h"

namespace egalaxyd {

enum class Protocol { kGemini, kTitan, kSpartan };

struct Request {
  Protocol protocol = Protocol::kGemini;
  std::string url;   ///< the URL as sent
  std::string host;  ///< lower-case, without port or brackets
  /// The port that the client named, else the protocol's default.
  std::uint16_t port = 0;
  std::string path;                  ///< decoded and normalised, see normalisePath
  std::optional<std::string> query;  ///< as sent, percent-encoded; nullopt: there was no '?'
  /// Length of the part of `path` that the site map matched; the rest is the site's own.
  std::size_t mountLength = 0;
  IpAddress client;
  /// nullptr: no certificate was presented.
  std::shared_ptr<const ClientIdentity> identity;

  /// What the site map left of the path: "" or begins with '/' (with "/" mounted: the whole path).
  std::string_view sitePath() const { return std::string_view(path).substr(mountLength); }
};

}  // namespace egalaxyd
