// Who may upload what: all that the request line and the certificate decide. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "common/config/config.h"
#include "worker/site/request.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// What an upload or an edit is refused with; nullopt: it may go on. The
/// checks run in this order so that an unauthorised client learns neither limits nor names:
/// protocol (50), certificate or token (60, 62, 61, 50), delete (50), name (59), depth (59), type
/// (59), size (59). Tokens are compared in constant time.
std::optional<Response> refuseUpload(const UploadArgs& rules, const Request& request);

/// What a file there counts in quotas besides its bytes: itself, and each folder that it lies in
/// where uploads may make some.
std::uint64_t uploadBlocks(const UploadArgs& rules, const Request& request);

/// The media type that an upload declares, without parameters, in small letters; Titan's default is
/// text/gemini, Spartan's what the name tells. "" where there is none to declare.
std::string uploadType(const Request& request);

}  // namespace egalaxyd
