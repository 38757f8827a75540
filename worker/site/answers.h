// Answers that several sites give, and the URLs in them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/wire/uri.h"
#include "worker/site/request.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// A query as it was sent, with bytes that a URI may not hold (raw UTF-8) percent-encoded.
std::string encodeQuery(std::string_view rawQuery);

/// 31 to the same path with a slash at its end, the query kept. A full URL where the client came
/// through a port of its own; over Spartan, which knows no others, always a path.
Response redirectToFolder(const Request& request);

/// 30 or 31; 59 if no client could request the target, because it is too long.
Response redirectTo(std::string target, bool permanent);

/// 41: a queue, or something else that is bounded, is full.
Response busyFailure();

/// 40, where nobody can tell whether what the client wanted to be kept is kept.
Response mayBeStored();

/// 62: `why` is for the client.
Response certificateNotValid(std::string_view why);

/// 60 with `prompt` without a certificate, 62 if it is not valid in itself; otherwise nullopt.
std::optional<Response> refuseCertificate(const Request& request, const std::string& prompt);

}  // namespace egalaxyd
