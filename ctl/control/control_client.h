// The client of the control socket: asks the running server.
#pragma once

#include <Poco/JSON/Object.h>

#include <functional>
#include <string>
#include <string_view>

#include "common/wire/control_protocol.h"
#include "ctl/base/command.h"

namespace egalaxyd::ctl {

/// The socket that --socket names, else the first that exists of those that a server would make.
Result<std::string> controlSocketPath(const Invocation& invocation);

/// Sends the request and waits for its answer, however long that takes. Fails with kNotFound when
/// there is no server, kPermission when the socket, or its folder, is not for this account: the
/// message says how to get the right.
Result<Poco::JSON::Object::Ptr> askServer(const Invocation& invocation,
                                          const ControlRequest& request);

/// Told of the bytes that come before an answer; a failure ends the asking.
using TakeBytes = std::function<Result<void>(std::string_view)>;
/// The same for a command that is answered with bytes first.
Result<Poco::JSON::Object::Ptr> askServer(const Invocation& invocation,
                                          const ControlRequest& request, const TakeBytes& take);

/// Prints the answer, as JSON where --json is given, else with `print`; or why there is none. The
/// exit code: 0; 1 when the server refused or failed; 69 without a server.
int printAnswer(const Invocation& invocation, const Result<Poco::JSON::Object::Ptr>& answer,
                void (*print)(const Invocation&, const Poco::JSON::Object&));

/// The whole of a command that asks one thing: askServer(), then printAnswer().
int askAndPrint(const Invocation& invocation, const ControlRequest& request,
                void (*print)(const Invocation&, const Poco::JSON::Object&));

}  // namespace egalaxyd::ctl
