#include "worker/module/cgi_site.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <variant>

#include "common/base/path.h"
#include "common/shared/home_places.h"
#include "common/system/log.h"
#include "worker/dynamic/program_answer.h"
#include "worker/dynamic/program_request.h"
#include "worker/dynamic/programs.h"
#include "worker/dynamic/script_output.h"
#include "worker/dynamic/script_path.h"
#include "worker/dynamic/script_variables.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

/// What the client gets where a script was not started; nullopt: it has left.
std::optional<Response> notStarted(const std::string& name, const Error& error,
                                   Programs& programs) {
  if (error.code == ErrorCode::kIo) return std::nullopt;
  programs.counters().add(Counter::kScriptsRefused);
  switch (error.code) {
    case ErrorCode::kNotFound:
      spdlog::info("{}: {}", name, error.message);
      return Response::notFound();
    case ErrorCode::kPermission:
      spdlog::error("{}: {}", name, error.message);
      return Response::failure(Status::kCgiError, "The application cannot be run");
    case ErrorCode::kBusy:
      programs.fullness().warn(fmt::format("{}: {}; the client got 41", name, error.message));
      break;
    default:
      spdlog::error("{}: {}", name, error.message);
  }
  return Response::failure(Status::kServerUnavailable, "The server is busy, try again");
}

}  // namespace

CgiSite::CgiSite(CgiArgs args, std::uint32_t number, std::size_t launcher)
    : args_(std::move(args)), number_(number), launcher_(launcher) {}

UploadRight CgiSite::uploadRight(const Request& request, std::string_view) const {
  return args_.upload ? programUploadRight(*args_.upload, request) : UploadRight::kNone;
}

std::string_view CgiSite::tokenName(const Request& request, std::string_view) const {
  return args_.upload ? programTokenName(*args_.upload, request) : std::string_view();
}

void CgiSite::handle(Request request, Responder reply, Services& services) {
  handleOf({}, std::move(request), std::move(reply), services);
}

void CgiSite::handleOf(std::string user, Request request, Responder reply, Services& services) {
  if (auto refusal = refuseBody(args_.upload ? &*args_.upload : nullptr, request)) {
    return std::move(reply).send(std::move(*refusal));
  }
  auto admitted = services.programs.admit(request.client);
  if (auto* refusal = std::get_if<Response>(&admitted)) {
    return std::move(reply).send(std::move(*refusal));
  }
  services.tasks.start(serve(std::move(user), std::move(request), std::move(reply),
                             std::get<ProgramPlace>(std::move(admitted)), services));
}

Task<void> CgiSite::serve(std::string user, Request request, Responder reply, ProgramPlace place,
                          Services& services) const {
  auto script = co_await find(user, request, services);
  if (!script) {
    if (script.error().code == ErrorCode::kPermission) {
      spdlog::info("cgi \"{}\": {}", logQuote(request.path), script.error().message);
    }
    co_return std::move(reply).send(
        script.error().code == ErrorCode::kNoSpace ? busyFailure() : Response::notFound());
  }
  if (script->isFolder) co_return std::move(reply).send(redirectToFolder(request));
  Call call{std::move(request),
            std::move(reply),
            std::move(place),
            std::move(user),
            std::move(*script),
            {},
            false};
  if (call.request.body) {
    auto received =
        co_await receiveBody(call.request, args_.upload ? &*args_.upload : nullptr, services);
    if (auto* refusal = std::get_if<std::optional<Response>>(&received)) {
      if (*refusal) std::move(call.reply).send(std::move(**refusal));
      co_return;
    }
    call.body = std::get<SpooledBody>(std::move(received));
    call.hasBody = true;
  }
  co_await run(std::move(call), services);
}

std::filesystem::path CgiSite::rootOf(const std::string& user) const {
  return user.empty() ? args_.root : std::filesystem::path(placeOfUser(args_.root, user));
}

/// The script that the path means; of a Titan upload, the one with the suffix.
Task<Result<FoundScript>> CgiSite::find(const std::string& user, const Request& request,
                                        Services& services) const {
  const std::string_view path = request.sitePath();
  if (!args_.script.empty()) co_return FoundScript{{}, pathInfoOf(path), false};
  const bool isStored = request.protocol == Protocol::kTitan && request.upload &&
                        !request.upload->edit && args_.upload;
  const std::string_view suffix = isStored ? args_.upload->nameSuffix : std::string_view();
  const std::filesystem::path root = rootOf(user);
  auto found = findScript(root, args_, path, suffix, ScriptLook::kCached);
  if (!found && found.error().code == ErrorCode::kBusy) {
    const auto look = [&] { return findScript(root, args_, path, suffix, ScriptLook::kWaiting); };
    found = co_await services.pool.run(look);
  }
  co_return found;
}

Task<void> CgiSite::run(Call call, Services& services) const {
  const Request& request = call.request;
  ScriptFacts facts;
  if (request.mountLength > 1) facts.mount = request.path.substr(0, request.mountLength);
  facts.script = call.script.script;
  facts.pathInfo = call.script.pathInfo;
  const std::filesystem::path root = rootOf(call.user);
  facts.scriptFile = args_.script.empty() ? root / call.script.script : args_.script;
  facts.documentRoot = root;
  facts.bodySize = call.body.size();
  facts.user = co_await userOf(request);
  auto variables = scriptVariables(request, facts, args_.program.style);
  if (!variables) {
    co_return std::move(call.reply)
        .send(
            Response::failure(Status::kBadRequest, "The request is too long for this application"));
  }
  LauncherLink& launcher = services.programs.launcher(launcher_);
  RunScript order;
  order.run = launcher.newRun();
  order.mount = number_;
  order.script = (call.user.empty() ? "" : call.user + "/") + call.script.script;
  order.variables = std::move(*variables);
  order.body = call.body.name();
  order.clientNumber = request.client.limitNumber();
  order.client = request.client.text(services.programs.addressMask());
  const std::string name = fmt::format(
      "cgi \"{}\"", logQuote(facts.mount + (facts.script.empty() ? "" : "/") + facts.script));
  const std::uint32_t number = order.run;
  const auto unwanted = request.cancellation;
  if (!call.hasBody) {
    if (unwanted->requested()) co_return;
    unwanted->onRequest([&launcher, number] { launcher.stop(number); });
  }
  auto script = co_await launcher.run(std::move(order), name);
  unwanted->onRequest({});
  call.body = {};
  if (!script) {
    if (!call.hasBody && unwanted->requested()) co_return;  // the launcher may have been faster
    auto refusal = notStarted(name, script.error(), services.programs);
    if (refusal) std::move(call.reply).send(std::move(*refusal));
    co_return;
  }
  ProgramAnswer answer{
      .source = std::make_unique<ScriptOutput>(services.loop, launcher, std::move(*script)),
      .times = args_.program.times,
      .place = std::move(call.place),
      .counters = services.programs.counters(),
      .runsToItsEnd = call.hasBody};
  co_await passAnswer(std::move(answer), unwanted, std::move(call.reply), services);
}

}  // namespace egalaxyd
