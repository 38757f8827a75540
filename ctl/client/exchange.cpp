#include "ctl/client/exchange.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <csignal>
#include <ostream>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "ctl/base/command_table.h"
#include "ctl/base/reference.h"
#include "ctl/base/terminal_text.h"
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

}  // namespace

std::optional<ConnectOptions> mannerOf(const Invocation& invocation, std::string_view command,
                                       int& exitCode) {
  ConnectOptions manner;
  const auto& options = invocation.options;
  if (const auto timeout = options.find("timeout"); timeout != options.end()) {
    manner.patience = std::chrono::seconds(parseNumber(timeout->second, 1, 3600).value_or(0));
    if (manner.patience.count() == 0) {
      exitCode = refuseLine(invocation, command, "--timeout takes whole seconds, 1 to 3600");
      return std::nullopt;
    }
  }
  const auto cert = options.find("cert");
  const auto key = options.find("key");
  if (cert == options.end() && key != options.end()) {
    exitCode = refuseLine(invocation, command, "--key goes with a --cert");
    return std::nullopt;
  }
  if (cert == options.end()) return manner;
  auto identity =
      readKeyedCertificate(cert->second, key == options.end() ? cert->second : key->second);
  if (!identity) {
    exitCode = complain(invocation, identity.error());
    return std::nullopt;
  }
  if (const auto usable = Connection::checkIdentity(*identity); !usable) {
    exitCode = complain(invocation, usable.error());
    return std::nullopt;
  }
  manner.identity = std::move(*identity);
  return manner;
}

Result<Connection> connectTo(const Target& target, const ConnectOptions& manner, bool showIdentity,
                             const Invocation& invocation) {
  std::signal(SIGPIPE, SIG_IGN);  // a server or an output that hangs up is reported as EPIPE
  const bool tls = target.protocol != Protocol::kSpartan;
  auto connection = Connection::open({target.uri.host, target.port, tls}, manner.patience,
                                     showIdentity && manner.identity ? &*manner.identity : nullptr);
  if (connection && invocation.has("verbose")) {
    invocation.err << printable(target.url) << ": " << printable(connection->describe()) << '\n';
  }
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
  complain(invocation, error);
  return error.code == ErrorCode::kInvalid ? kExitProtocol : kExitUnavailable;
}

}  // namespace egalaxyd::ctl
