#include "worker/module/input_site.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/path.h"
#include "common/system/log.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

InputArgs withoutSites(InputArgs args) {
  args.sites.clear();
  return args;
}

std::string withLineFeeds(std::string_view text) {
  std::string lines;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    lines += text[i] == '\r' ? '\n' : text[i];
  }
  return lines;
}

/// Text of several lines.
bool isText(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::replace(text.begin(), text.end(), '\t', ' ');
  return isPrintable(text);
}

Response storageFailure(const Error& error) {
  if (error.code == ErrorCode::kInvalid) {
    return Response::failure(Status::kBadRequest, "Your input cannot be kept: it is too long");
  }
  if (error.code == ErrorCode::kBusy) {
    return Response::failure(Status::kServerUnavailable,
                             "Too much is to be kept at once, try again in a minute");
  }
  if (error.code == ErrorCode::kUnknown) return mayBeStored();
  spdlog::error("answered 40: the input of a user was not stored: {}", error.message);
  return Response::failure(Status::kTemporaryFailure, "Your input cannot be kept now, try again");
}

}  // namespace

std::optional<std::string> decodeInput(std::string_view query) {
  const auto decoded = percentDecode(query);
  if (!decoded) return std::nullopt;
  std::string text = withLineFeeds(*decoded);
  return isText(text) ? std::optional(std::move(text)) : std::nullopt;
}

InputSite::InputSite(const InputArgs& args, PathMap sites)
    : args_(withoutSites(args)), hasSites_(!args.sites.empty()), sites_(std::move(sites)) {}

bool InputSite::serves(const Request& request) const {
  const std::string_view below = request.sitePath();
  return hasSites_ ? sites_.serves(below) : below.empty() || below == "/";
}

void InputSite::handle(Request request, Responder reply, Services& services) {
  // No prompt on paths that no nested site serves.
  if (!serves(request)) return std::move(reply).send(Response::notFound());
  if (args_.asMeta) {
    if (auto refusal = refuseCertificate(request, args_.certPrompt)) {
      return std::move(reply).send(std::move(*refusal));
    }
  }
  if (!request.query) {
    const Status status = args_.sensitive ? Status::kSensitiveInput : Status::kInput;
    return std::move(reply).send({status, args_.prompt, nullptr});
  }
  request.input = decodeInput(*request.query);
  if (!request.input) {
    return std::move(reply).send(
        Response::failure(Status::kBadRequest, "The input is not percent-encoded UTF-8 text"));
  }
  if (!args_.asMeta) return pass(std::move(request), std::move(reply), services);
  auto cancellation = request.cancellation;
  services.tasks.start(keep(std::move(request), std::move(reply), services),
                       std::move(cancellation));
}

Task<void> InputSite::keep(Request request, Responder reply, Services& services) {
  const RequestUser user(services.users, request.identity);
  const auto written = co_await user.write(args_.key, *request.input);
  if (!written) co_return std::move(reply).send(storageFailure(written.error()));
  pass(std::move(request), std::move(reply), services);
}

void InputSite::pass(Request request, Responder reply, Services& services) const {
  if (!hasSites_) {
    return std::move(reply).send(Response::gemtext(
        "Your input has been saved.\n=> " +
        percentEncodePath(request.path.substr(0, request.path.rfind('/') + 1)) + " Go on\n"));
  }
  sites_.handle(std::move(request), std::move(reply), services);
}

bool InputSite::hidesQuery(std::string_view sitePath) const {
  return args_.sensitive || sites_.hidesQuery(sitePath);
}

}  // namespace egalaxyd
