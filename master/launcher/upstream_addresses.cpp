#include "master/launcher/upstream_addresses.h"

#include <netdb.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <utility>

namespace egalaxyd {
namespace {

constexpr std::chrono::seconds kUntilLookedUpAgain{60};
constexpr std::chrono::seconds kPatienceAtStart{3};

using Addresses = std::vector<SocketAddress>;

/// Of "host:port". With AI_NUMERICHOST it does not wait.
Result<Addresses> internetAddresses(const std::string& address, int flags) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return Error{ErrorCode::kInvalid, "there is no port"};
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list);
  if (failed != 0) return Error{ErrorCode::kNotFound, ::gai_strerror(failed)};
  Addresses found;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    SocketAddress& one = found.emplace_back();
    std::memcpy(&one.storage, each->ai_addr, each->ai_addrlen);
    one.size = each->ai_addrlen;
  }
  ::freeaddrinfo(list);
  return found;
}

std::map<std::string, Result<Addresses>> addressesOf(const std::vector<std::string>& names) {
  std::map<std::string, Result<Addresses>> found;
  for (const std::string& name : names) {
    found.insert_or_assign(name, internetAddresses(name, AI_ADDRCONFIG));
  }
  return found;
}

}  // namespace

Result<Addresses> unixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kInvalid, "the socket's path is too long"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  SocketAddress one;
  std::memcpy(&one.storage, &address, sizeof address);
  one.size = sizeof address;
  return Addresses{one};
}

UpstreamAddresses::UpstreamAddresses(EventLoop& loop, const std::vector<UpstreamPlace>& upstreams,
                                     std::function<void()> ready)
    : ready_(std::move(ready)),
      lookup_(loop, [this](Found found) { onFound(std::move(found)); }),
      again_(loop, [this] { lookUp(); }),
      first_(loop, [this] { beReady(); }) {
  for (const UpstreamPlace& upstream : upstreams) {
    if (!upstream.users.empty()) continue;
    const std::string& address = upstream.address;
    const bool isUnix = address.starts_with(kUnixScheme);
    auto found = isUnix ? unixAddress(address.substr(kUnixScheme.size()))
                        : internetAddresses(address, AI_NUMERICHOST);
    if (!found && found.error().code == ErrorCode::kNotFound) names_.push_back(address);
    found_.insert_or_assign(address, std::move(found));
  }
  first_.setAfter(names_.empty() ? Clock::duration{} : kPatienceAtStart);
  if (!names_.empty()) lookUp();
}

const Result<Addresses>& UpstreamAddresses::of(const std::string& address) const {
  return found_.at(address);
}

void UpstreamAddresses::lookUp() {
  again_.setAfter(kUntilLookedUpAgain);
  // Without a thread now: later.
  if (!lookup_.active()) lookup_.start([names = names_] { return addressesOf(names); });
}

void UpstreamAddresses::onFound(Found found) {
  for (auto& [address, addresses] : found) {
    // A name server that is away for a while takes away no address.
    const bool keeps = found_.at(address).ok() && !addresses.ok();
    if (!keeps) found_.insert_or_assign(address, std::move(addresses));
  }
  if (first_.active()) beReady();
}

void UpstreamAddresses::beReady() {
  first_.cancel();
  ready_();
}

}  // namespace egalaxyd
