#include "master/status/status_server.h"

#include <Poco/Net/HTTPRequestHandler.h>
#include <Poco/Net/HTTPRequestHandlerFactory.h>
#include <Poco/Net/HTTPServer.h>
#include <Poco/Net/HTTPServerParams.h>
#include <Poco/Net/HTTPServerRequest.h>
#include <Poco/Net/HTTPServerResponse.h>
#include <Poco/Net/NetException.h>
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/ServerSocketImpl.h>
#include <Poco/Net/StreamSocketImpl.h>
#include <Poco/ThreadPool.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/random_number.h"
#include "master/status/status_gate.h"
#include "master/status/status_page.h"

namespace egalaxyd {
namespace {

namespace net = Poco::Net;

/// A thread parses a request and sends what is ready.
constexpr int kStack = 128 * 1024;

int millisecondsUntil(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

/// Waits until `fd` can be read or written, or hangs up. False at the deadline.
bool isReadyBy(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    pollfd waiting{fd, events, 0};
    const int ready = ::poll(&waiting, 1, millisecondsUntil(deadline));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

short eventsOf(int mode) {
  return static_cast<short>(((mode & net::Socket::SELECT_READ) != 0 ? POLLIN : 0) |
                            ((mode & net::Socket::SELECT_WRITE) != 0 ? POLLOUT : 0));
}

/// A connection with one deadline for all of its life: POCO's time-outs begin anew with each byte.
/// What the sandbox does not allow is not called, such as an epoll for each wait.
class MortalSocket final : public net::StreamSocketImpl {
 public:
  explicit MortalSocket(int fd)
      : StreamSocketImpl(fd), deadline_(Clock::now() + StatusServer::kConnectionLife) {}

  bool poll(const Poco::Timespan& timeout, int mode) override {
    const auto most = Clock::now() + std::chrono::microseconds(timeout.totalMicroseconds());
    return isReadyBy(sockfd(), eventsOf(mode), std::min(most, deadline_));
  }

  int receiveBytes(void* buffer, int length, int) override {
    for (;;) {
      if (!isReadyBy(sockfd(), POLLIN, deadline_)) throw Poco::TimeoutException();
      const ssize_t got = ::recv(sockfd(), buffer, static_cast<std::size_t>(length), MSG_DONTWAIT);
      if (got >= 0) return static_cast<int>(got);
      if (errno != EAGAIN && errno != EINTR) throw net::ConnectionResetException();
    }
  }

  /// All of it.
  int sendBytes(const void* buffer, int length, int) override {
    std::string_view rest(static_cast<const char*>(buffer), static_cast<std::size_t>(length));
    while (!rest.empty()) {
      if (!isReadyBy(sockfd(), POLLOUT, deadline_)) throw Poco::TimeoutException();
      const ssize_t sent = ::send(sockfd(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) throw net::ConnectionResetException();
      if (sent > 0) rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    return length;
  }

  void setReceiveTimeout(const Poco::Timespan&) override {}
  void setSendTimeout(const Poco::Timespan&) override {}

 private:
  const Clock::time_point deadline_;
};

/// Several processes may listen: the master, and one that is about to leave.
class MortalListenerImpl final : public net::ServerSocketImpl {
 public:
  explicit MortalListenerImpl(int fd) { reset(fd); }

  /// POCO looks four times a second whether its server was stopped, which nobody does.
  bool poll(const Poco::Timespan&, int) override {
    pollfd waiting{sockfd(), POLLIN, 0};
    return ::poll(&waiting, 1, -1) > 0;
  }

  net::SocketImpl* acceptConnection(net::SocketAddress& client) override {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int fd = ::accept4(sockfd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC);
    if (fd < 0) throw net::NetException("accept", errno);
    client = net::SocketAddress(reinterpret_cast<const sockaddr*>(&peer), size);
    return new MortalSocket(fd);  // POCO counts its owners
  }
};

class MortalListener final : public net::ServerSocket {
 public:
  explicit MortalListener(int fd) : ServerSocket(new MortalListenerImpl(fd), true) {}
};

std::string withNonce(const std::string& nonce) {
  constexpr std::string_view kHole = "NONCE-OF-THIS-ANSWER";
  std::string page(kStatusPage);
  for (std::size_t at = 0; (at = page.find(kHole, at)) != std::string::npos;) {
    page.replace(at, kHole.size(), nonce);
  }
  return page;
}

class Handler final : public net::HTTPRequestHandler {
 public:
  Handler(const TokenDigest& token, const StatusBoard& board) : token_(token), board_(board) {}

  void handleRequest(net::HTTPServerRequest& request, net::HTTPServerResponse& response) override {
    response.setKeepAlive(false);
    response.set("Cache-Control", "no-store");
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Referrer-Policy", "no-referrer");
    response.set("Cross-Origin-Resource-Policy", "same-origin");
    response.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    const std::string host = request.get("Host", "");
    const std::string authorization = request.get("Authorization", "");
    const StatusVerdict verdict =
        judge({request.getMethod(), request.getURI(), host, authorization}, token_);
    if (verdict.status == 401) {
      response.set("WWW-Authenticate", R"(Basic realm="egalaxyd", charset="UTF-8")");
    }
    if (verdict.status == 405) response.set("Allow", "GET, HEAD");
    if (verdict.status != 200) {
      return answer(response, verdict.status, "text/plain", std::string(verdict.refusal));
    }
    switch (verdict.part) {
      case StatusPart::kPage:
        return page(response);
      case StatusPart::kFigures:
        return answer(response, 200, "application/json", board_.json(verdict.since));
      case StatusPart::kMetrics:
        return metrics(response);
      case StatusPart::kHealth:
        return health(response);
    }
  }

 private:
  static void answer(net::HTTPServerResponse& response, int status, const std::string& type,
                     const std::string& body) {
    // POCO 1.11 has no name for 421.
    const auto code = static_cast<net::HTTPResponse::HTTPStatus>(status);
    response.setStatusAndReason(
        code, status == 421 ? "Misdirected Request" : net::HTTPResponse::getReasonForStatus(code));
    response.setContentType(type + (type == "application/json" ? "" : "; charset=utf-8"));
    response.sendBuffer(body.data(), body.size());
  }

  static void page(net::HTTPServerResponse& response) {
    const std::string nonce = fmt::format("{:016x}{:016x}", randomNumber(), randomNumber());
    response.set("Content-Security-Policy",
                 fmt::format("default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; "
                             "img-src data:; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'",
                             nonce));
    answer(response, 200, "text/html", withNonce(nonce));
  }

  void metrics(net::HTTPServerResponse& response) const {
    const std::string text = board_.metrics();
    if (text.empty()) return answer(response, 503, "text/plain", "There are no figures yet.\n");
    answer(response, 200, "text/plain; version=0.0.4", text);
  }

  void health(net::HTTPServerResponse& response) const {
    const std::string trouble = board_.trouble();
    answer(response, trouble.empty() ? 200 : 503, "text/plain",
           trouble.empty() ? "ok\n" : trouble + "\n");
  }

  const TokenDigest& token_;
  const StatusBoard& board_;
};

class Handlers final : public net::HTTPRequestHandlerFactory {
 public:
  Handlers(TokenDigest token, const StatusBoard& board) : token_(std::move(token)), board_(board) {}

  net::HTTPRequestHandler* createRequestHandler(const net::HTTPServerRequest&) override {
    return new Handler(token_, board_);  // POCO deletes it
  }

 private:
  const TokenDigest token_;
  const StatusBoard& board_;
};

}  // namespace

struct StatusServer::Servers {
  explicit Servers(int most) : pool("status", 1, most, 60, kStack) {}

  Poco::ThreadPool pool;
  std::vector<std::unique_ptr<net::HTTPServer>> all;
};

StatusServer::StatusServer(const std::vector<int>& listeners, const TokenDigest& token,
                           const StatusBoard& board)
    : servers_(std::make_unique<Servers>(kThreads * static_cast<int>(listeners.size()))) {
  const net::HTTPRequestHandlerFactory::Ptr handlers(new Handlers(token, board));
  for (const int fd : listeners) {
    net::HTTPServerParams::Ptr params(new net::HTTPServerParams);
    params->setKeepAlive(false);
    params->setMaxThreads(kThreads);
    params->setMaxQueued(kWaiting);
    params->setThreadIdleTime(Poco::Timespan(60, 0));
    params->setTimeout(Poco::Timespan(static_cast<long>(kConnectionLife.count()), 0));
    servers_->all.push_back(
        std::make_unique<net::HTTPServer>(handlers, servers_->pool, MortalListener(fd), params));
    servers_->all.back()->start();
  }
}

StatusServer::~StatusServer() = default;

}  // namespace egalaxyd
