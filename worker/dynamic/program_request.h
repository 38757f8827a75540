// The bodies of requests to scripts and applications: who may send one, and receiving it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/config/config.h"
#include "worker/base/task.h"
#include "worker/dynamic/request_spool.h"
#include "worker/site/request.h"
#include "worker/site/response.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// The longest data block of Spartan that is input, and needs no right.
inline constexpr std::uint64_t kMostInputBlock = 1024;

UploadRight programUploadRight(const ProgramUpload& upload, const Request& request);
std::string_view programTokenName(const ProgramUpload& upload, const Request& request);

/// The refusal of an upload, an edit or a data block before any of it has come; nullopt: it may
/// come. `upload`: nullptr where there are none.
std::optional<Response> refuseBody(const ProgramUpload* upload, const Request& request);

/// Receives the body, whole. A data block that is input becomes the request's query, too. Else
/// what the client gets; nullopt: it has left.
Task<std::variant<SpooledBody, std::optional<Response>>> receiveBody(Request& request,
                                                                     const ProgramUpload* upload,
                                                                     Services& services);

/// EGALAXYD_USER: the id under which something is kept for the client's certificate, else the one
/// that it would get; "" without a certificate, or without a database.
Task<std::string> userOf(const Request& request);

}  // namespace egalaxyd
