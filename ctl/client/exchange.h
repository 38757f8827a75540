// One request and its answer as `get` and `put` show them, whatever the protocol.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/tls/certificate.h"
#include "ctl/base/command.h"
#include "ctl/client/client_request.h"
#include "ctl/client/connection.h"
#include "ctl/client/known_hosts.h"

namespace egalaxyd::ctl {

/// What the command line says about how to connect, and whom the user trusts.
struct ConnectOptions {
  std::chrono::seconds patience{10};
  std::optional<KeyedCertificate> identity;
  std::optional<Endpoint> at;  ///< where the host of the URL is, whatever its name resolves to
  bool trusts = false;         ///< the next key of that host, whatever is known
  KnownHosts known;
};

/// Reads --timeout, --cert, --key, --connect and --trust for a `command` to `target`, and whom the
/// user trusts. A mistake is complained about, `exitCode` is what to leave with then.
std::optional<ConnectOptions> mannerOf(const Invocation& invocation, std::string_view command,
                                       const Target& target, int& exitCode);

struct Answer {
  Connection connection;
  AnswerLine line;
  std::string bodyStart;  ///< what came together with the line
};

/// A connection to a host that is trusted, known from now on; kPermission when it is a stranger.
/// `atHome`: it is the host that the command line names, so what it says holds for it. Tells about
/// the connection when --verbose is given.
Result<Connection> connectTo(const Target& target, ConnectOptions& manner, bool atHome,
                             const Invocation& invocation);

/// Reads the first line of the answer; prints it when --head is given.
Result<Answer> readAnswer(Connection connection, Protocol protocol, const Invocation& invocation);

/// The target of a redirect: `answer.line.meta`, resolved.
std::string redirectTarget(const Target& from, const Answer& answer);

/// Prints the body of a success, the line of anything else on `err`; --head: neither. The exit
/// code: 0 for a success, else the first digit of the answer.
int show(Answer& answer, const Invocation& invocation);

/// Complains about a connection that did not come to a whole answer; gives the exit code.
int failExchange(const Invocation& invocation, const Error& error);

}  // namespace egalaxyd::ctl
