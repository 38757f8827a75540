#include "ctl/client/exchange.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ostream>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/tls/certificate_names.h"
#include "common/wire/ip_address.h"
#include "ctl/base/command_table.h"
#include "ctl/base/reference.h"
#include "ctl/base/terminal_text.h"
#include "ctl/client/identity.h"
#include "ctl/client/progress.h"

namespace egalaxyd::ctl {
namespace {

/// Status, space, META and CRLF, and as much again for servers that are generous.
constexpr std::size_t kMaxLineBytes = 2 * (kMaxMetaBytes + 5);

Error noLine(std::size_t received) {
  if (received > kMaxLineBytes) {
    return {ErrorCode::kInvalid, fmt::format("the first line of the server's answer is longer than "
                                             "{} bytes",
                                             kMaxLineBytes)};
  }
  if (received == 0) return {ErrorCode::kIo, "the server ended the connection without an answer"};
  return {ErrorCode::kInvalid, fmt::format("the server sent {} bytes and no whole line", received)};
}

/// "192.0.2.1", "2001:db8::1", "[2001:db8::1]:1965" or "name:1965".
std::optional<Endpoint> parseEndpoint(const std::string& text, std::uint16_t usualPort) {
  if (IpAddress::parse(text)) return Endpoint{text, usualPort};
  const auto parsed = parseUri("gemini://" + text);
  const auto* uri = std::get_if<Uri>(&parsed);
  if (uri == nullptr || !uri->path.empty() || uri->query) return std::nullopt;
  return Endpoint{uri->host, uri->port.value_or(usualPort)};
}

/// Who the user is, and whom the user knows.
Result<void> readTrust(const Invocation& invocation, const Target& target, ConnectOptions& manner) {
  if (const auto cert = invocation.options.find("cert"); cert != invocation.options.end()) {
    const auto key = invocation.options.find("key");
    auto identity = readIdentity(cert->second, key == invocation.options.end()
                                                   ? std::nullopt
                                                   : std::optional<std::string>(key->second));
    if (!identity) return identity.error();
    if (auto usable = Connection::checkIdentity(*identity); !usable) return usable;
    manner.identity = std::move(*identity);
  }
  if (target.protocol == Protocol::kSpartan) return {};
  auto known = KnownHosts::read(KnownHosts::usualFile());
  if (!known) return known.error();
  manner.known = std::move(*known);
  return {};
}

}  // namespace

std::optional<ConnectOptions> mannerOf(const Invocation& invocation, std::string_view command,
                                       const Target& target, int& exitCode) {
  ConnectOptions manner;
  const auto& options = invocation.options;
  if (const auto timeout = options.find("timeout"); timeout != options.end()) {
    manner.patience = std::chrono::seconds(parseNumber(timeout->second, 1, 3600).value_or(0));
    if (manner.patience.count() == 0) {
      exitCode = refuseLine(invocation, command, "--timeout takes whole seconds, 1 to 3600");
      return std::nullopt;
    }
  }
  if (const auto connect = options.find("connect"); connect != options.end()) {
    manner.at = parseEndpoint(connect->second, target.port);
    if (!manner.at) {
      exitCode = refuseLine(invocation, command,
                            fmt::format("--connect {} is no address or name with or without a "
                                        "port, as 192.0.2.1, [2001:db8::1]:1965 or localhost",
                                        printable(connect->second)));
      return std::nullopt;
    }
  }
  if (!options.contains("cert") && options.contains("key")) {
    exitCode = refuseLine(invocation, command, "--key goes with a --cert");
    return std::nullopt;
  }
  manner.trusts = options.contains("trust");
  const auto read = readTrust(invocation, target, manner);
  if (read) return manner;
  exitCode = complain(invocation, read.error());
  return std::nullopt;
}

Result<Connection> connectTo(const Target& target, ConnectOptions& manner, bool atHome,
                             const Invocation& invocation) {
  std::signal(SIGPIPE, SIG_IGN);  // a server or an output that hangs up is reported as EPIPE
  const KnownHosts::Name host(target.uri.host, target.port);
  const bool takesAny = atHome && manner.trusts;
  HostKey shown;
  const Judge judge = [&](const X509* leaf) -> Result<void> {
    shown = {publicKeyFingerprint(leaf), certificateNotAfterText(leaf)};
    if (shown.sha256.empty()) return Error{ErrorCode::kIo, "the server's key cannot be read"};
    return takesAny ? Result<void>() : manner.known.judge(host, shown);
  };
  const bool elsewhere = atHome && manner.at;
  const Peer peer{host.first, elsewhere ? *manner.at : Endpoint{host.first, host.second},
                  target.protocol != Protocol::kSpartan};
  auto connection = Connection::open(
      peer, manner.patience, atHome && manner.identity ? &*manner.identity : nullptr, judge);
  if (!connection) return connection;
  if (invocation.has("verbose")) {
    const KnownKey* known = manner.known.find(host);
    const std::string trust = !peer.tls ? ""
                              : known == nullptr
                                  ? ", key seen for the first time"
                                  : fmt::format(", a key is known since {}", known->since);
    invocation.err << printable(target.url) << ": " << printable(connection->describe()) << trust
                   << '\n';
  }
  if (!peer.tls) return connection;
  const auto remembered = manner.known.remember(host, shown, takesAny);
  if (!remembered && remembered.error().code == ErrorCode::kPermission) return remembered.error();
  if (!remembered) {
    invocation.err << fmt::format(
        "egalaxyctl: warning: the key of {} is not remembered, and will be trusted anew: {}\n",
        printable(host.first), printable(remembered.error().message));
  }
  if (takesAny) manner.trusts = false;
  return connection;
}

Result<Answer> readAnswer(Connection connection, Protocol protocol, const Invocation& invocation) {
  std::string received;
  for (;;) {
    const std::size_t end = received.find("\r\n");
    if (end != std::string::npos && end <= kMaxLineBytes) {
      auto line = parseAnswerLine(protocol, received.substr(0, end));
      if (!line) return line.error();
      if (invocation.has("head")) invocation.out << printable(line->text) << '\n';
      return Answer{std::move(connection), std::move(*line), received.substr(end + 2)};
    }
    if (received.size() > kMaxLineBytes) return noLine(received.size());
    auto bytes = connection.receive();
    if (!bytes) return bytes.error();
    if (bytes->empty()) return noLine(received.size());
    received += *bytes;
  }
}

std::string redirectTarget(const Target& from, const Answer& answer) {
  return resolveReference(from.url, answer.line.meta);
}

int show(Answer& answer, const Invocation& invocation) {
  if (answer.line.kind != 2) {
    if (!invocation.has("head")) invocation.err << printable(answer.line.text) << '\n';
    return answer.line.kind;
  }
  if (invocation.has("head")) return 0;
  const bool onTerminal = ::isatty(STDOUT_FILENO) == 1;
  TerminalText text;
  const auto print = [&](std::string_view bytes) -> bool {
    if (!onTerminal) return static_cast<bool>(invocation.out << bytes);
    return static_cast<bool>(invocation.out << text.show(bytes));
  };
  print(answer.bodyStart);
  const bool watched = ::isatty(STDERR_FILENO) == 1 && !onTerminal;
  std::optional<Progress> progress(std::in_place, invocation.err, watched, std::nullopt);
  progress->advance(answer.bodyStart.size());
  for (;;) {
    const auto bytes = answer.connection.receive();
    if (!bytes) {
      progress.reset();  // its line goes before the complaint comes
      return failExchange(invocation, bytes.error());
    }
    if (bytes->empty()) return print(text.end()) ? 0 : kExitIo;
    if (!print(*bytes)) return kExitIo;
    progress->advance(bytes->size());
  }
}

int failExchange(const Invocation& invocation, const Error& error) {
  for (std::size_t begin = 0; begin <= error.message.size();) {  // one line after the other
    const std::size_t end = std::min(error.message.find('\n', begin), error.message.size());
    complain(invocation, {error.code, error.message.substr(begin, end - begin)});
    begin = end + 1;
  }
  if (error.code == ErrorCode::kPermission) return kExitStranger;
  return error.code == ErrorCode::kInvalid ? kExitProtocol : kExitUnavailable;
}

}  // namespace egalaxyd::ctl
