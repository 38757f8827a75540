#include "master/launcher/upstream_addresses.h"

#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/base/mutex.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

constexpr std::chrono::seconds kUntilLookedUpAgain{60};
constexpr std::chrono::seconds kPatienceAtStart{3};
constexpr std::string_view kUnixScheme = "unix:";

using Addresses = std::vector<SocketAddress>;

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

}  // namespace

/// What the thread and the loop share; the thread may be the last to have it.
struct UpstreamAddresses::Lookup {
  UniqueFd done{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Mutex mutex;
  Found found EGALAXYD_GUARDED_BY(mutex);

  void run(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      auto addresses = internetAddresses(name, AI_ADDRCONFIG);
      const MutexLock lock(mutex);
      found.insert_or_assign(name, std::move(addresses));
    }
    const std::uint64_t one = 1;
    if (::write(done.get(), &one, sizeof one) < 0) return;  // never: nobody else has written
  }
};

UpstreamAddresses::UpstreamAddresses(EventLoop& loop, const std::vector<UpstreamPlace>& upstreams,
                                     std::function<void()> ready)
    : ready_(std::move(ready)),
      done_(loop, [this](IoEvents) { onFound(); }),
      again_(loop, [this] { lookUp(); }),
      first_(loop, [this] { beReady(); }) {
  for (const UpstreamPlace& upstream : upstreams) {
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
  if (lookup_) return;
  lookup_ = std::make_shared<Lookup>();
  if (!done_.start(lookup_->done.get(), WatchMode::kRead)) return lookup_.reset();
  try {
    std::thread([lookup = lookup_, names = names_] { lookup->run(names); }).detach();
  } catch (const std::system_error&) {  // no thread now: later
    done_.stop();
    lookup_.reset();
  }
}

void UpstreamAddresses::onFound() {
  done_.stop();
  {
    const MutexLock lock(lookup_->mutex);
    for (auto& [address, addresses] : lookup_->found) {
      // A name server that is away for a while takes away no address.
      const bool keeps = found_.at(address).ok() && !addresses.ok();
      if (!keeps) found_.insert_or_assign(address, std::move(addresses));
    }
  }
  lookup_.reset();
  if (first_.active()) beReady();
}

void UpstreamAddresses::beReady() {
  first_.cancel();
  ready_();
}

}  // namespace egalaxyd
