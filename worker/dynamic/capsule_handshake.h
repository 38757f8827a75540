// What makes a connection to a capsule fit for a request: the PROXY header and TLS.
#pragma once

#include <string>

#include "common/base/result.h"
#include "worker/base/task.h"
#include "worker/dynamic/upstreams.h"
#include "worker/site/site.h"
#include "worker/transport/dialled_stream.h"

namespace egalaxyd {

/// Sends `header`, which may be empty, and shakes hands. Ends early when the caller's client
/// leaves, or the worker. An Error (kIo) says for the log why the connection cannot be used.
Task<Result<void>> shakeHands(DialledStream& stream, std::string header, milliseconds patience,
                              const Upstreams::Caller& caller, Services& services);

}  // namespace egalaxyd
