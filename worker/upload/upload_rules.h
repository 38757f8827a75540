// Who may upload what, as far as the request line and the certificate decide it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "worker/site/request.h"
#include "worker/site/response.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// The refusal of an upload or an edit; nullopt: it may go on. The checks run in this order so that
/// an unauthorised client learns neither limits nor names: protocol (50), certificate or token (60
/// where nothing was shown and a certificate would do, 62, 61), delete (50), name (59), depth,
/// type, size (50, and what would pass: clients add words of their own to 59). Where tokens are
/// taken, an edit shows what a plain request would. Tokens are compared in constant time.
std::optional<Response> refuseUpload(const UploadArgs& rules, const Request& request);

/// By what the client may write: kGranted by a token, or by a certificate that is listed itself; by
/// a certificate that only "*" admits, which a stranger makes in no time, kOpen.
UploadRight uploadRight(const UploadArgs& rules, const Request& request);

/// The operator's name for a token; "" for one without, and for one that is not accepted. It stays
/// as long as `rules`.
std::string_view tokenName(const UploadArgs& rules, const std::string& token);

/// The blocks that a file counts in quotas besides its bytes: one for itself and, if uploads may
/// make folders, one for each folder that it is in.
std::uint64_t uploadBlocks(const UploadArgs& rules, const Request& request);

/// The media type of an upload, lower-case and without parameters: for Titan the declared one, for
/// Spartan that of the file name; text/gemini if there is none. "" for an edit or no upload.
std::string uploadType(const Request& request);

}  // namespace egalaxyd
