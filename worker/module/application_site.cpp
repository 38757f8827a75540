#include "worker/module/application_site.h"

#include <spdlog/spdlog.h>

#include <variant>

#include "common/base/path.h"
#include "worker/dynamic/program_answer.h"
#include "worker/dynamic/program_request.h"
#include "worker/dynamic/programs.h"
#include "worker/dynamic/scgi_request.h"
#include "worker/dynamic/script_path.h"

namespace egalaxyd {
namespace {

std::string replaced(std::string text, std::string_view name, const std::string& value) {
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
  return text;
}

}  // namespace

ApplicationSite::ApplicationSite(const ScgiArgs& args, std::uint32_t firstUpstream,
                                 milliseconds queueTimeout)
    : ApplicationSite(Speech::kScgi, args.program, args.upstream, args.upload, {}, firstUpstream,
                      queueTimeout) {}

ApplicationSite::ApplicationSite(const FastcgiArgs& args, std::uint32_t firstUpstream,
                                 milliseconds queueTimeout)
    : ApplicationSite(Speech::kFastcgi, args.program, args.upstream, args.upload,
                      {args.keep, args.scriptFilename, args.root}, firstUpstream, queueTimeout) {}

ApplicationSite::ApplicationSite(Speech speech, const ProgramArgs& program,
                                 const UpstreamArgs& upstream,
                                 const std::optional<ProgramUpload>& upload, Fastcgi fastcgi,
                                 std::uint32_t firstUpstream, milliseconds queueTimeout)
    : speech_(speech),
      program_(program),
      upload_(upload),
      fastcgi_(std::move(fastcgi)),
      upstreams_(upstream, firstUpstream, queueTimeout) {}

UploadRight ApplicationSite::uploadRight(const Request& request, std::string_view) const {
  return upload_ ? programUploadRight(*upload_, request) : UploadRight::kNone;
}

std::string_view ApplicationSite::tokenName(const Request& request, std::string_view) const {
  return upload_ ? programTokenName(*upload_, request) : std::string_view();
}

void ApplicationSite::handle(Request request, Responder reply, Services& services) {
  handleOf({}, std::move(request), std::move(reply), services);
}

void ApplicationSite::handleOf(std::string user, Request request, Responder reply,
                               Services& services) {
  if (auto refusal = refuseBody(upload_ ? &*upload_ : nullptr, request)) {
    return std::move(reply).send(std::move(*refusal));
  }
  auto admitted = services.programs.admit(request.client);
  if (auto* refusal = std::get_if<Response>(&admitted)) {
    return std::move(reply).send(std::move(*refusal));
  }
  Call call{std::move(request),
            std::move(reply),
            std::get<ProgramPlace>(std::move(admitted)),
            {},
            false,
            {},
            {},
            false,
            std::move(user)};
  services.tasks.start(serve(std::move(call), services));
}

Task<void> ApplicationSite::serve(Call call, Services& services) {
  const char* speech = speech_ == Speech::kScgi ? "scgi" : "fastcgi";
  call.name =
      fmt::format("{} \"{}\"", speech, call.request.path.substr(0, call.request.mountLength));
  if (call.request.body) {
    auto received = co_await receiveBody(call.request, upload_ ? &*upload_ : nullptr, services);
    if (auto* refusal = std::get_if<std::optional<Response>>(&received)) {
      if (*refusal) std::move(call.reply).send(std::move(**refusal));
      co_return;
    }
    call.body = std::get<SpooledBody>(std::move(received));
    call.body.remove();  // its descriptor is enough
    call.hasBody = true;
  }
  auto head = co_await headOf(call.request, call.body.size());
  if (!head) {
    co_return std::move(call.reply)
        .send(
            Response::failure(Status::kBadRequest, "The request is too long for this application"));
  }
  call.head = std::move(*head);
  co_await ask(std::move(call), services);
}

/// What is sent before the body; nullopt: its variables are too long.
Task<std::optional<std::string>> ApplicationSite::headOf(const Request& request,
                                                         std::uint64_t bodySize) const {
  ScriptFacts facts;
  if (request.mountLength > 1) facts.mount = request.path.substr(0, request.mountLength);
  facts.pathInfo = pathInfoOf(request.sitePath());
  facts.documentRoot = fastcgi_.root;
  facts.scriptFile = replaced(replaced(fastcgi_.scriptFilename, "%root%", fastcgi_.root), "%path%",
                              facts.pathInfo);
  facts.bodySize = bodySize;
  facts.user = co_await userOf(request);
  const auto variables = scriptVariables(request, facts, program_.style);
  if (!variables) co_return std::nullopt;
  const auto named = namedValues(*variables, program_.env);
  if (speech_ == Speech::kScgi) co_return scgiRequest(bodySize, named);
  co_return fastcgiBegin(fastcgi_.keep > 0) + fastcgiParams(named);
}

Task<void> ApplicationSite::ask(Call call, Services& services) {
  const Upstreams::Caller caller{call.name,
                                 call.request.client.limitNumber(),
                                 call.request.cancellation,
                                 call.hasBody,
                                 call.fresh,
                                 call.user};
  auto place = co_await upstreams_.takePlace(caller, services);
  if (!place) co_return std::move(call.reply).send(noConnectionFree());
  auto connected = co_await upstreams_.connect(*place, caller, services, {});
  if (!connected) {
    services.programs.counters().add(Counter::kScriptsFailed);
    co_return std::move(call.reply)
        .send(notConnected(connected.error(), "The application does not answer"));
  }
  pass(std::move(call), std::move(*place), std::move(*connected), services);
}

void ApplicationSite::pass(Call call, Upstreams::Place place, Upstreams::Connected connected,
                           Services& services) {
  const std::size_t upstream = connected.upstream;
  ApplicationOutput::Connection connection{
      std::move(connected.socket),
      std::move(place),
      fmt::format("{} ({})", call.name, upstreams_.address(upstream)),
      {}};
  if (fastcgi_.keep > 0) {
    connection.keep = [this, upstream](UniqueFd left) {
      upstreams_.keep(upstream, std::move(left), fastcgi_.keep);
    };
  }
  const bool isScgi = speech_ == Speech::kScgi;
  const auto frame = [isScgi](std::string_view bytes) {
    return isScgi ? std::string(bytes) : fastcgiStdin(bytes);
  };
  const bool mayTryAgain = connected.wasKept && !call.hasBody;
  ApplicationRequest toSend(mayTryAgain ? call.head : std::move(call.head), std::move(call.body),
                            frame);
  ProgramAnswer answer{
      .source = std::make_unique<ApplicationOutput>(services.loop, services.pool, speech_,
                                                    std::move(connection), std::move(toSend)),
      .times = program_.times,
      .place = std::move(call.place),
      .counters = services.programs.counters(),
      .upstream = &connected.counts,
      .runsToItsEnd = call.hasBody};
  const auto unwanted = call.request.cancellation;
  Responder reply = std::move(call.reply);
  if (mayTryAgain) {
    // The application may have closed it while the request was on its way.
    answer.tryAgain = [this, &services, request = std::move(call.request), name = call.name,
                       head = std::move(call.head),
                       user = call.user](Responder again, ProgramPlace held) mutable {
      services.tasks.start(ask(Call{std::move(request),
                                    std::move(again),
                                    std::move(held),
                                    {},
                                    false,
                                    std::move(name),
                                    std::move(head),
                                    true,
                                    std::move(user)},
                               services));
    };
  }
  services.tasks.start(passAnswer(std::move(answer), unwanted, std::move(reply), services));
}

}  // namespace egalaxyd
