// What commands that show the server's lists share.
#pragma once

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Object.h>

#include <optional>
#include <string>
#include <string_view>

#include "common/wire/control_protocol.h"
#include "ctl/base/command.h"

namespace egalaxyd::ctl {

/// A member that counts seconds since 1970, as "2026-01-31T08:00:00Z".
std::string timeCell(const Poco::JSON::Object& object, const std::string& name);
/// The first digits of a user's id: enough for people, and for commands that take one.
std::string shortUser(const std::string& id);

/// "@ann" for the member `name` that is one which the operator gave; "-" for none.
std::string personCell(const Poco::JSON::Object& object, const std::string& name);

/// The table of upload records as the server tells them.
void printUploads(const Invocation& invocation, const Poco::JSON::Array& records);
/// After a list that was cut.
void printMore(std::ostream& out);

/// Takes --limit over into the request of `command`. nullopt: done, else the exit code, and
/// why on `err`.
std::optional<int> addLimit(const Invocation& invocation, std::string_view command,
                            ControlRequest& request);

}  // namespace egalaxyd::ctl
