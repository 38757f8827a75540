// Where the database is: what an operator writes, taken apart.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd::postgres {

/// One of the machines that may have the database.
struct Host {
  std::string name;     ///< the folder of a Unix socket where it begins with '/' (or '@')
  std::string address;  ///< "" while nobody has looked the name up
  std::string port;
  bool isSocket() const { return name.starts_with('/') || name.starts_with('@'); }
  bool operator==(const Host&) const = default;
};

struct Url {
  std::vector<Host> hosts;                      ///< at least one, in the order of the url
  std::map<std::string, std::string> keywords;  ///< all else, as libpq calls it
};

/// kInvalid, with what to change: unreadable, a password, what egalaxyd sets itself, a host twice.
Result<Url> parseUrl(std::string_view url);
/// With addresses for names; a name with several becomes several hosts. Waits for name servers.
/// kNotFound: none of the names has an address.
Result<Url> resolved(const Url& url);
/// As parseUrl() reads it.
std::string toString(const Url& url);
/// The TCP ports in it, sorted; none: Unix sockets alone.
std::vector<std::uint16_t> tcpPorts(const Url& url);

}  // namespace egalaxyd::postgres
