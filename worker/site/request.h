// A request as sites see it: a value without sockets, TLS or protocol details.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/wire/ip_address.h"
#include "common/wire/protocol.h"
#include "worker/base/client_identity.h"
#include "worker/base/task.h"
#include "worker/base/tls_facts.h"
#include "worker/base/users.h"
#include "worker/site/request_body.h"
#include "worker/site/request_line.h"

namespace egalaxyd {

struct Request {
  Protocol protocol = Protocol::kGemini;
  std::string url;   ///< as sent; Titan: without type and token; Spartan: made of host and path
  std::string host;  ///< lower-case, without port or brackets
  /// The port that the client named, else the protocol's default; Spartan's is the one that is
  /// listened to.
  std::uint16_t port = 0;
  /// The port on which pages of this host are read; not `port` if that takes uploads only.
  std::uint16_t readPort = 0;
  /// Decoded and normalised, see normalisePath; at a site that takes them, a kEncodedSlash stands
  /// for an encoded '/'.
  std::string path;
  std::optional<std::string> query;  ///< as sent, percent-encoded; nullopt: there was no '?'
  /// Length of the part of `path` that the site map matched; the rest is the site's own.
  std::size_t mountLength = 0;
  IpAddress client;
  std::uint16_t clientPort = 0;  ///< 0: not known
  TlsFacts tls;
  /// nullptr: no certificate was presented.
  std::shared_ptr<const ClientIdentity> identity;
  /// Whether an authority of an `authenticated` site around this one has signed the certificate.
  bool certificateSigned = false;
  /// The input that an `input` module around this site has received, decoded, lines ended by LF;
  /// nullopt: there is none.
  std::optional<std::string> input;
  /// What the client wants to upload or to edit; nullopt: a plain request.
  std::optional<UploadLine> upload;
  /// The upload's bytes; nullptr if none are announced.
  std::shared_ptr<RequestBody> body;
  /// Requested when the answer is no longer wanted; for Tasks::start().
  std::shared_ptr<const Cancellation> cancellation;
  Users* users = nullptr;
  /// The operator's name for the certificate ([people]), or else for the token of an upload; may be
  /// empty. It stays as long as the worker.
  std::string_view name = {};

  /// The user that the certificate belongs to; nullopt without a certificate.
  std::optional<RequestUser> user() const {
    if (!identity || users == nullptr) return std::nullopt;
    return RequestUser(*users, identity);
  }

  /// The path below the mount: "" or begins with '/' (mounted at "/": the whole path).
  std::string_view sitePath() const { return std::string_view(path).substr(mountLength); }
};

}  // namespace egalaxyd
