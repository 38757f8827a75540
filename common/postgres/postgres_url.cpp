#include "common/postgres/postgres_url.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "common/base/number.h"
#include "common/base/path.h"

namespace egalaxyd::postgres {
namespace {

/// What egalaxyd decides, and libpq would take from a url.
constexpr std::array kOurs{"application_name", "client_encoding",
                           "connect_timeout",  "fallback_application_name",
                           "gssencmode",       "options",
                           "passfile",         "replication",
                           "service",          "target_session_attrs"};

constexpr const char* kSocketFolder = "/var/run/postgresql";
constexpr const char* kPort = "5432";

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (;;) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

Error invalid(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

Result<std::map<std::string, std::string>> keywordsOf(std::string_view url) {
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://")) {
    return invalid("it begins with postgresql://");
  }
  char* complaint = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(std::string(url).c_str(), &complaint), PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owner(complaint, PQfreemem);
  if (!options) return invalid(complaint == nullptr ? "it cannot be read" : printable(complaint));
  std::map<std::string, std::string> keywords;
  for (const PQconninfoOption* each = options.get(); each->keyword != nullptr; ++each) {
    if (each->val != nullptr && *each->val != '\0') keywords[each->keyword] = each->val;
  }
  return keywords;
}

/// One element for each host: a list of one goes for all.
Result<std::string> pick(const std::vector<std::string>& list, std::size_t index, std::size_t hosts,
                         const char* what) {
  if (list.size() == hosts) return list[index];
  if (list.size() == 1) return list[0];
  return invalid(fmt::format("{} {}s for {} hosts", list.size(), what, hosts));
}

Result<std::vector<Host>> hostsOf(std::map<std::string, std::string>& keywords) {
  const auto names = split(std::exchange(keywords["host"], ""));
  const auto addresses = split(std::exchange(keywords["hostaddr"], ""));
  const auto ports = split(std::exchange(keywords["port"], ""));
  for (const char* done : {"host", "hostaddr", "port"}) keywords.erase(done);
  const std::size_t count = std::max(names.size(), addresses.size());
  std::vector<Host> hosts;
  for (std::size_t i = 0; i < count; ++i) {
    auto name = pick(names, i, count, "name");
    auto address = pick(addresses, i, count, "address");
    auto port = pick(ports, i, count, "port");
    for (const auto* each : {&name, &address, &port}) {
      if (!*each) return each->error();
    }
    if (name->empty() && address->empty()) *name = kSocketFolder;
    if (name->empty()) *name = *address;
    if (port->empty()) *port = kPort;
    if (!parseNumber(*port, 1, 65535)) return invalid(*port + " is no port");
    hosts.push_back({*name, *address, *port});
  }
  return hosts;
}

/// What tells two hosts apart.
std::string placeOf(const Host& host) {
  return fmt::format("{} {}", host.address.empty() ? host.name : host.address, host.port);
}

Result<void> checkHosts(const std::vector<Host>& hosts) {
  std::vector<std::string> places;
  for (const Host& host : hosts) places.push_back(placeOf(host));
  std::sort(places.begin(), places.end());
  const auto twice = std::adjacent_find(places.begin(), places.end());
  if (twice == places.end()) return {};
  return invalid(fmt::format("{} is there twice; hosts differ by address or port",
                             twice->substr(0, twice->find(' '))));
}

constexpr std::string_view kPlain =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.-_";

std::string encoded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += kPlain.find(c) != std::string_view::npos
                  ? std::string(1, c)
                  : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

std::vector<std::string> addressesOf(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  std::vector<std::string> addresses;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return addresses;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      addresses.emplace_back(text);
    }
  }
  return addresses;
}

}  // namespace

Result<Url> parseUrl(std::string_view text) {
  auto keywords = keywordsOf(text);
  if (!keywords) return keywords.error();
  if (keywords->contains("password")) {
    return invalid(
        "it holds a password; write that into a file (mode 0600), and its name into "
        "storage.password");
  }
  for (const char* ours : kOurs) {
    if (keywords->contains(ours)) {
      return invalid(fmt::format("{} is egalaxyd's to set; leave it out", ours));
    }
  }
  auto hosts = hostsOf(*keywords);
  if (!hosts) return hosts.error();
  if (auto checked = checkHosts(*hosts); !checked) return checked.error();
  return Url{std::move(*hosts), std::move(*keywords)};
}

Result<Url> resolved(const Url& url) {
  Url result{{}, url.keywords};
  bool any = false;
  for (const Host& host : url.hosts) {
    if (host.isSocket() || !host.address.empty()) {
      any = true;
      result.hosts.push_back(host);
      continue;
    }
    const auto addresses = addressesOf(host.name);
    // One without an address stays: it is not reached, but the others are.
    if (addresses.empty()) result.hosts.push_back(host);
    for (const std::string& address : addresses) {
      Host with{host.name, address, host.port};
      const auto known = [&](const Host& other) { return placeOf(other) == placeOf(with); };
      if (std::none_of(result.hosts.begin(), result.hosts.end(), known)) {
        result.hosts.push_back(std::move(with));
      }
      any = true;
    }
  }
  if (any) return result;
  return Error{ErrorCode::kNotFound,
               "none of the database's hosts has an address; check the names "
               "in storage.url, and the name server"};
}

std::string toString(const Url& url) {
  std::string names, addresses, ports;
  for (const Host& host : url.hosts) {
    const char* comma = &host == &url.hosts.front() ? "" : ",";
    names += comma + encoded(host.name);
    addresses += comma + encoded(host.address);
    ports += comma + host.port;
  }
  std::string text =
      fmt::format("postgresql:///?host={}&hostaddr={}&port={}", names, addresses, ports);
  for (const auto& [name, value] : url.keywords) {
    text += fmt::format("&{}={}", name, encoded(value));
  }
  return text;
}

std::vector<std::uint16_t> tcpPorts(const Url& url) {
  std::vector<std::uint16_t> ports;
  for (const Host& host : url.hosts) {
    if (host.isSocket()) continue;
    ports.push_back(static_cast<std::uint16_t>(parseNumber(host.port, 1, 65535).value_or(0)));
  }
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  return ports;
}

}  // namespace egalaxyd::postgres
