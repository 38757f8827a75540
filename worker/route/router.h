// Finds the site for a request line, or refuses it: scheme, host, server name, path.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "common/base/limits.h"
#include "worker/base/listener_kind.h"
#include "worker/site/request.h"
#include "worker/site/request_line.h"
#include "worker/site/response.h"
#include "worker/site/site.h"

namespace egalaxyd {

class PatternRedirects;

/// The sites of one host by path prefix.
class PathMap {
 public:
  /// `path` is decoded and normalised (normalisePath); it begins with '/' and does not end with
  /// one, except "/" itself. Replaces what was mounted there.
  void add(std::string path, std::shared_ptr<Site> site);

  /// Mounts `site` at each "…/~NAME" where nothing else is mounted. `path` ends in "/~", and is
  /// found itself, too.
  void addHomes(std::string path, std::shared_ptr<Site> site);

  struct Match {
    Site* site = nullptr;  ///< nullptr: nothing is mounted there
    std::size_t mountLength = 0;
  };
  /// The longest mounted prefix that ends at a segment's end: "/wiki" is found for "/wiki",
  /// "/wiki/" and "/wiki/x". `mountLength` is 0 for "/", and that of "…/~NAME" for homes. `path` is
  /// normalised. Allocates nothing; takes time by the number of segments, not of mounts.
  Match find(std::string_view path) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::shared_ptr<Site>, Hash, std::equal_to<>> sites_;
  /// By their paths up to the '~'.
  std::unordered_map<std::string, std::shared_ptr<Site>, Hash, std::equal_to<>> homes_;
  std::size_t longest_ = 0;  ///< length of the longest path in sites_: no need to hash longer ones
};

/// Names to values: looks for the exact name, then a wildcard for one label, then "*". Used for
/// host names and for SNI.
template <class T>
class HostMap {
 public:
  /// `name` is lower-case: "example.org", "*.example.org" or "*".
  void add(const std::string& name, T value) { names_.insert_or_assign(name, std::move(value)); }

  /// An address literal is found by exact name or by "*".
  const T* find(std::string_view host) const {
    if (const T* exact = get(host)) return exact;
    if (const auto dot = host.find('.'); dot != std::string_view::npos && dot > 0) {
      std::string wildcard("*");
      wildcard.append(host.substr(dot));
      if (const T* match = get(wildcard)) return match;
    }
    return get("*");
  }

 private:
  const T* get(std::string_view name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : &found->second;
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, T, Hash, std::equal_to<>> names_;
};

/// Decides which site answers for a host and path: the site map, or a plug-in in its place. Built
/// by the master before the fork, called by each worker on its loop's thread; outlives requests.

class Router {
 public:
  virtual ~Router() = default;
  /// Whether requests for `host` (lower-case, without port) are answered here at all.
  virtual bool serves(std::string_view host) const = 0;
  /// `path` is normalised, see normalisePath. Must not wait.
  virtual PathMap::Match find(std::string_view host, std::string_view path) const = 0;
};

/// The configured sites.
class SiteMap final : public Router {
 public:
  explicit SiteMap(HostMap<std::shared_ptr<PathMap>> hosts) : hosts_(std::move(hosts)) {}
  bool serves(std::string_view host) const override { return hosts_.find(host) != nullptr; }
  PathMap::Match find(std::string_view host, std::string_view path) const override;

 private:
  HostMap<std::shared_ptr<PathMap>> hosts_;
};

/// A request that the gate has admitted.
struct Routed {
  Site* site;
  Request request;
  AcceptedBody takes = AcceptedBody::kNothing;  ///< what becomes of the body, if one is announced
};

/// Admits a request line or refuses it, in the order of the protocols: scheme, host and port (53),
/// SNI (53), path (59, 51), uploads where none are taken (50). A request over the rate limit (44)
/// does not get here.
class Gate {
 public:
  /// `router` must outlive the gate.
  explicit Gate(const Router& router) : router_(router) {}

  /// Sets the ports that URLs may name besides the scheme's default, the port on which pages are
  /// read, and the one that a Spartan client without a port has come to (0: none is listened to).
  void setPorts(std::unordered_set<std::uint16_t> ports, std::uint16_t readPort,
                std::uint16_t spartanPort = 0) {
    ports_ = std::move(ports);
    readPort_ = readPort;
    if (spartanPort != 0) spartanPort_ = spartanPort;
  }

  /// Sets whether a host's sites are answered over Spartan; hosts that no name here covers are.
  void setSpartanHosts(HostMap<bool> hosts) { spartanHosts_ = std::move(hosts); }

  /// Sets the redirects that come before the paths; they do not concern uploads and edits.
  void setRedirects(HostMap<std::shared_ptr<PatternRedirects>> redirects) {
    redirects_ = std::move(redirects);
  }

  bool serves(std::string_view host) const { return router_.serves(host); }
  bool servesPort(std::uint16_t port) const {
    return port == kGeminiPort || port == kSpartanPort || ports_.contains(port);
  }

  /// Returns a Response if the line is refused. `serverName`: the SNI, lower-case, "" without one.
  /// The caller fills in the request's identity, users and TLS.
  std::variant<Routed, Response> admit(RequestLine line, ListenerKind listener,
                                       std::string_view serverName, const IpAddress& client) const;

 private:
  std::optional<Response> refuse(const Uri& uri, Protocol protocol, std::uint16_t port,
                                 std::string_view serverName) const;
  PathMap::Match find(const RequestLine& line, const std::string& host,
                      std::string_view path) const;

  const Router& router_;
  std::unordered_set<std::uint16_t> ports_;
  std::uint16_t readPort_ = kGeminiPort;
  std::uint16_t spartanPort_ = kSpartanPort;
  HostMap<bool> spartanHosts_;
  HostMap<std::shared_ptr<PatternRedirects>> redirects_;
};

}  // namespace egalaxyd
