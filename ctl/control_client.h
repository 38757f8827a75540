// Asking the running server.
#pragma once

#include <Poco/JSON/Object.h>

#include <string>

#include "common/control_protocol.h"
#include "ctl/command.h"

namespace egalaxyd {

/// The socket that --socket names, else the first that exists of those that a server would make.
Result<std::string> controlSocketPath(const Invocation& invocation);

/// Sends the request and waits for its answer, however long that takes. Fails with kNotFound when
/// there is no server, kPermission when the socket is not for this account.
Result<Poco::JSON::Object::Ptr> askServer(const Invocation& invocation,
                                          const ControlRequest& request);

/// The whole of a command that asks one thing: the answer as JSON where --json is given, else by
/// `print`. The exit code: 0, 1 when the server said no (what it said is printed), 69 without one.
int askAndPrint(const Invocation& invocation, const ControlRequest& request,
                void (*print)(const Invocation&, const Poco::JSON::Object&));

}  // namespace egalaxyd
