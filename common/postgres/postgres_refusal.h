// Why a database does not let us in, in words for the operator: what it is, and what to do. Pure.
#pragma once

#include <string_view>

#include "common/base/result.h"

namespace egalaxyd::postgres {

/// `message`: the client library's, with the server's code where that has answered
/// (PQERRORS_VERBOSE); `server`: "host:port", or the socket's folder. kInvalid: a pooler is
/// between; else kBusy, as all of it may be mended while egalaxyd runs.
Error refusal(std::string_view server, std::string_view message, bool wantsPassword);

/// The same for one that let us in.
Error poolerBetween(std::string_view server);

}  // namespace egalaxyd::postgres
