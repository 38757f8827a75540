#include "master/start/url_trial.h"

#include <netdb.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "common/base/unique_fd.h"

namespace egalaxyd {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookUp{2000};
constexpr milliseconds kConnect{500};

/// All names at once (getaddrinfo_a): one that no name server answers does not hold up the others.
class Lookups {
 public:
  explicit Lookups(const std::vector<ServedUrl>& urls) {
    hints_.ai_family = AF_UNSPEC;
    hints_.ai_socktype = SOCK_STREAM;
    hints_.ai_flags = AI_NUMERICSERV;
    for (const ServedUrl& url : urls) add(url);
    std::vector<gaicb*> list;
    for (auto& [key, request] : requests_) list.push_back(&request->control);
    if (list.empty()) return;
    begun_ = ::getaddrinfo_a(GAI_NOWAIT, list.data(), static_cast<int>(list.size()), nullptr) == 0;
    if (begun_) await(list);
  }

  /// What getaddrinfo(3) would have returned; EAI_INPROGRESS when there was no answer in time.
  int outcome(const ServedUrl& url) const {
    return begun_ ? ::gai_error(&requests_.at(keyOf(url))->control) : EAI_AGAIN;
  }
  const addrinfo* addresses(const ServedUrl& url) const {
    return requests_.at(keyOf(url))->control.ar_result;
  }

 private:
  struct Request {
    std::string host;
    std::string port;
    gaicb control{};
  };

  static std::string keyOf(const ServedUrl& url) {
    return fmt::format("{} {}", url.host, url.port);
  }

  void add(const ServedUrl& url) {
    auto& request = requests_[keyOf(url)];
    if (request) return;
    request = std::make_unique<Request>();
    request->host = url.host;
    request->port = std::to_string(url.port);
    request->control.ar_name = request->host.c_str();
    request->control.ar_service = request->port.c_str();
    request->control.ar_request = &hints_;
  }

  static void await(const std::vector<gaicb*>& list) {
    const auto end = steady_clock::now() + kLookUp;
    for (const gaicb* each : list) {
      while (::gai_error(const_cast<gaicb*>(each)) == EAI_INPROGRESS) {
        const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
        if (left.count() <= 0) return;
        const timespec most{left.count() / 1000, left.count() % 1000 * 1'000'000};
        ::gai_suspend(&each, 1, &most);
      }
    }
  }

  addrinfo hints_{};
  std::map<std::string, std::unique_ptr<Request>> requests_;
  bool begun_ = false;
};

std::string textOf(const addrinfo& address) {
  std::array<char, NI_MAXHOST> text{};
  ::getnameinfo(address.ai_addr, address.ai_addrlen, text.data(), text.size(), nullptr, 0,
                NI_NUMERICHOST);
  return text.data();
}

/// Only an address of this machine can be bound.
bool isOurs(const addrinfo& address) {
  sockaddr_storage anyPort{};
  std::memcpy(&anyPort, address.ai_addr, address.ai_addrlen);
  if (anyPort.ss_family == AF_INET) reinterpret_cast<sockaddr_in&>(anyPort).sin_port = 0;
  if (anyPort.ss_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(anyPort).sin6_port = 0;
  const UniqueFd fd(::socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return fd &&
         ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&anyPort), address.ai_addrlen) == 0;
}

/// 0, or errno.
int tryToConnect(const addrinfo& address) {
  const UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd connected{fd.get(), POLLOUT, 0};
  if (::poll(&connected, 1, static_cast<int>(kConnect.count())) != 1) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

std::string troubleWith(const ServedUrl& url, const Lookups& lookups) {
  const int outcome = lookups.outcome(url);
  if (outcome == EAI_INPROGRESS) return "no name server told in time where " + url.host + " is";
  if (outcome != 0) return "the name " + url.host + " is not known here";
  std::string trouble = url.host + " has no address";
  for (const addrinfo* to = lookups.addresses(url); to != nullptr; to = to->ai_next) {
    if (!isOurs(*to)) {
      trouble = fmt::format("{} leads to {}, which is not this machine", url.host, textOf(*to));
    } else if (const int error = tryToConnect(*to); error == 0) {
      return "";
    } else {
      trouble = fmt::format("{} leads to {}: {}", url.host, textOf(*to), std::strerror(error));
    }
  }
  return trouble;
}

}  // namespace

std::vector<std::string> tryUrls(const std::vector<ServedUrl>& urls) {
  const Lookups lookups(urls);
  std::vector<std::string> troubles;
  for (const ServedUrl& url : urls) troubles.push_back(troubleWith(url, lookups));
  return troubles;
}

std::string encodeTrial(const std::vector<std::string>& troubles) {
  std::string text;
  for (const std::string& trouble : troubles) text += trouble + '\n';
  return text;
}

void noteTrial(std::string_view text, std::vector<ServedUrl>& urls) {
  for (ServedUrl& url : urls) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return;
    url.trouble = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
}

}  // namespace egalaxyd
