#include <Poco/URI.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <csignal>
#include <ostream>

#include "common/limits.h"
#include "common/poco_seam.h"
#include "ctl/command_table.h"
#include "ctl/reference.h"
#include "ctl/tls_client.h"

namespace egalaxyd {
namespace {

constexpr int kMaxRedirects = 5;  // Gemini 0.24.1, "Redirection"
constexpr int kExitNoPage = 1;
/// Status, space, META and CRLF, and as much again for servers that are generous.
constexpr std::size_t kMaxHeaderBytes = 2 * (kMaxMetaBytes + 5);

struct Target {
  std::string url;  ///< as it is sent
  std::string scheme;
  std::string host;
  std::uint16_t port = kGeminiPort;
};

struct Response {
  TlsClient connection;
  int status = 0;
  std::string header;     ///< without CRLF
  std::string bodyStart;  ///< what came together with the header

  std::string meta() const { return header.size() > 3 ? header.substr(3) : ""; }
};

/// A terminal obeys control characters: they are not for a server to send.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return text;
}

/// Cuts the fragment, which never goes over the wire.
Result<Target> parseTarget(std::string url) {
  url = url.substr(0, url.find('#'));
  if (url.find("://") == std::string::npos) url = "gemini://" + url;
  if (printable(url) != url) {
    return Error{ErrorCode::kInvalid, printable(url) + ": a URL holds no control characters"};
  }
  return guarded(url, [&] {
    const Poco::URI uri(url);
    const std::uint16_t port = uri.getPort() == 0 ? kGeminiPort : uri.getPort();
    return Target{url, uri.getScheme(), uri.getHost(), port};
  });
}

Result<Response> parseHeader(TlsClient connection, const std::string& received, std::size_t end) {
  const std::string header = received.substr(0, end);
  const auto isDigit = [](char c) { return c >= '0' && c <= '9'; };
  if (header.size() < 2 || !isDigit(header[0]) || !isDigit(header[1]) ||
      (header.size() > 2 && header[2] != ' ')) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("the server's answer is not Gemini: \"{}\"", printable(header))};
  }
  const int status = (header[0] - '0') * 10 + (header[1] - '0');
  return Response{std::move(connection), status, header, received.substr(end + 2)};
}

Result<Response> ask(const Target& target, const Invocation& invocation) {
  auto connected = TlsClient::connect(target.host, target.port);
  if (!connected) return connected.error();
  if (invocation.has("verbose")) {
    invocation.err << printable(target.url) << ": " << connected->describe() << '\n';
  }
  if (auto sent = connected->send(target.url + "\r\n"); !sent) return sent.error();
  std::string received;
  for (;;) {
    auto bytes = connected->receive();
    if (!bytes) return bytes.error();
    received += *bytes;
    const std::size_t end = received.find("\r\n");
    if (end != std::string::npos) return parseHeader(std::move(*connected), received, end);
    if (bytes->empty() || received.size() > kMaxHeaderBytes) {
      return Error{ErrorCode::kInvalid,
                   fmt::format("the server sent {} bytes and no header line", received.size())};
    }
  }
}

Result<Target> redirected(const Target& from, const std::string& meta) {
  auto target = parseTarget(resolveReference(from.url, meta));
  if (target && target->scheme != from.scheme) {
    return Error{ErrorCode::kInvalid, "a redirect to another scheme is not followed"};
  }
  return target;
}

/// Streams the body of a 20; shows the header of anything else.
int finish(Response& response, const Invocation& invocation) {
  if (response.status != 20) {
    if (!invocation.has("head")) invocation.err << printable(response.header) << '\n';
    return kExitNoPage;
  }
  if (invocation.has("head")) return 0;
  invocation.out << response.bodyStart;
  for (;;) {
    const auto bytes = response.connection.receive();
    if (!bytes) {
      complain(invocation, bytes.error());
      return kExitNoPage;
    }
    if (bytes->empty()) return 0;
    if (!(invocation.out << *bytes)) return kExitIo;
  }
}

int fail(const Invocation& invocation, const Error& error) {
  complain(invocation, error);
  return kExitNoPage;
}

}  // namespace

int getUrl(const Invocation& invocation) {
  std::signal(SIGPIPE,
              SIG_IGN);  // a server that hangs up, or a closed output, is an error to report
  auto target = parseTarget(invocation.arguments.front());
  if (target && (target->scheme != "gemini" || target->host.empty())) {
    target = Error{ErrorCode::kInvalid, target->url + ": give a gemini:// URL with a host"};
  }
  if (!target) {
    complain(invocation, target.error());
    return kExitUsage;
  }
  for (int redirects = 0;; ++redirects) {
    auto response = ask(*target, invocation);
    if (!response) return fail(invocation, response.error());
    if (invocation.has("head")) invocation.out << printable(response->header) << '\n';
    if (response->status / 10 != 3) return finish(*response, invocation);
    target = redirected(*target, response->meta());
    if (target && redirects == kMaxRedirects) {
      target = Error{ErrorCode::kInvalid, fmt::format("{} redirects are enough", kMaxRedirects)};
    }
    if (!target) {
      finish(*response, invocation);
      return fail(invocation, target.error());
    }
  }
}

}  // namespace egalaxyd
