#include "worker/dynamic/program_request.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/path.h"
#include "worker/dynamic/programs.h"
#include "worker/upload/upload_rules.h"

namespace egalaxyd {
namespace {

bool isInput(const Request& request) {
  return request.protocol == Protocol::kSpartan && request.upload &&
         request.upload->size <= kMostInputBlock;
}

/// Whether it may be shown to a script as what a client typed.
bool isInputText(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(
      line, [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return isPrintable(line);
}

/// What the client gets when its body could not be received; nullopt: it has left.
std::optional<Response> bodyFailure(const Error& error) {
  switch (error.code) {
    case ErrorCode::kIo:
      return std::nullopt;
    case ErrorCode::kInvalid:
      return Response::failure(Status::kBadRequest, error.message);
    case ErrorCode::kBusy:
      return Response::failure(Status::kTemporaryFailure, error.message);
    case ErrorCode::kNoSpace:
      spdlog::error("answered 40: a body for a script was not kept: {}", error.message);
      return Response::failure(Status::kTemporaryFailure, "No room for the upload");
    default:
      spdlog::error("answered 40: a body for a script was not kept: {}", error.message);
      return Response::failure(Status::kTemporaryFailure,
                               "The upload cannot be kept now, try again");
  }
}

/// Of a short body that is in memory still.
std::string contentOf(const SpooledBody& body) {
  std::string content(body.size(), '\0');
  const ssize_t got = ::pread(body.fd(), content.data(), content.size(), 0);
  content.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return content;
}

}  // namespace

UploadRight programUploadRight(const ProgramUpload& upload, const Request& request) {
  if (!request.upload) return UploadRight::kNone;
  return upload.scriptDecides ? UploadRight::kOpen : uploadRight(upload.rules, request);
}

std::string_view programTokenName(const ProgramUpload& upload, const Request& request) {
  if (!request.upload || upload.scriptDecides) return {};
  return tokenName(upload.rules, request.upload->token);
}

std::optional<Response> refuseBody(const ProgramUpload* upload, const Request& request) {
  if (!request.upload || isInput(request)) return std::nullopt;
  if (upload == nullptr) {
    return Response::failure(Status::kBadRequest, "The input is longer than 1 KiB");
  }
  UploadArgs rules = upload->rules;
  rules.mayDelete = true;  // an empty body is one like others
  if (upload->scriptDecides) {
    rules.anyone = true;
    rules.tokens.clear();
  }
  return refuseUpload(rules, request);
}

Task<std::variant<SpooledBody, std::optional<Response>>> receiveBody(Request& request,
                                                                     const ProgramUpload* upload,
                                                                     Services& services) {
  using Received = std::variant<SpooledBody, std::optional<Response>>;
  SpoolPlace place{services.programs.spoolFolder(), services.programs.newSpoolName(),
                   upload == nullptr ? FreeFloor{0, 1} : upload->rules.minFree};
  auto body = co_await spool(request.body, std::move(place), services.pool);
  if (!body) co_return Received(bodyFailure(body.error()));
  if (isInput(request)) {
    const std::string content = contentOf(*body);
    if (isInputText(content)) {
      request.query = percentEncodeSegment(content);
    } else if (upload == nullptr) {
      co_return Received(
          std::optional(Response::failure(Status::kBadRequest, "The input is not text")));
    }
  }
  co_return Received(std::move(*body));
}

Task<std::string> userOf(const Request& request) {
  const auto user = request.user();
  if (!user) co_return std::string();
  const auto found = co_await user->find();
  if (!found) co_return std::string();
  co_return *found ? (*found)->id : request.identity->fingerprint;
}

}  // namespace egalaxyd
