// One request and its answer as `get` and `put` show them, whatever the protocol.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/tls/certificate.h"
#include "ctl/base/command.h"
#include "ctl/client/client_request.h"
#include "ctl/client/connection.h"

namespace egalaxyd::ctl {

/// What the command line says about how to connect.
struct ConnectOptions {
  std::chrono::seconds patience{10};
  std::optional<KeyedCertificate> identity;
};

/// Reads --timeout, --cert and --key. A mistake is complained about, `exitCode` is what to leave
/// with then.
std::optional<ConnectOptions> mannerOf(const Invocation& invocation, std::string_view command,
                                       int& exitCode);

struct Answer {
  Connection connection;
  AnswerLine line;
  std::string bodyStart;  ///< what came together with the line
};

/// Tells about the connection when --verbose is given.
Result<Connection> connectTo(const Target& target, const ConnectOptions& manner, bool showIdentity,
                             const Invocation& invocation);

/// Reads the first line of the answer; prints it when --head is given.
Result<Answer> readAnswer(Connection connection, Protocol protocol, const Invocation& invocation);

/// The target of a redirect: `answer.line.meta`, resolved.
std::string redirectTarget(const Target& from, const Answer& answer);

/// Prints the body of a success, the line of anything else on `err`; --head: neither. The exit
/// code: 0 for a success, else the first digit of the answer.
int show(Answer& answer, const Invocation& invocation);

/// Complains about a connection that ended without a whole answer; gives the exit code.
int failExchange(const Invocation& invocation, const Error& error);

}  // namespace egalaxyd::ctl
