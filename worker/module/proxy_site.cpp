#include "worker/module/proxy_site.h"

#include <spdlog/fmt/fmt.h>

#include <utility>
#include <variant>

#include "common/base/path.h"
#include "worker/dynamic/program_answer.h"
#include "worker/dynamic/program_request.h"
#include "worker/dynamic/programs.h"
#include "worker/dynamic/proxy_output.h"
#include "worker/dynamic/proxy_protocol.h"

namespace egalaxyd {
namespace {

/// What a proxy takes: the capsule behind it decides who may upload, and how much.
ProgramUpload anyUpload() {
  ProgramUpload upload;
  upload.scriptDecides = true;
  upload.rules.over = {UploadProtocol::kTitan, UploadProtocol::kSpartan};
  upload.rules.maxSize = UINT64_MAX;
  upload.rules.mime = {"*/*"};
  upload.rules.mayDelete = true;
  return upload;
}

}  // namespace

ProxySite::ProxySite(const ProxyArgs& args, std::shared_ptr<const DialledContext> context,
                     std::uint32_t firstUpstream, milliseconds queueTimeout)
    : args_(args),
      context_(std::move(context)),
      upstreams_(args.upstream, firstUpstream, queueTimeout) {}

void ProxySite::handle(Request request, Responder reply, Services& services) {
  auto admitted = services.programs.admit(request.client);
  if (auto* refusal = std::get_if<Response>(&admitted)) {
    return std::move(reply).send(std::move(*refusal));
  }
  services.tasks.start(serve(std::move(request), std::move(reply),
                             std::get<ProgramPlace>(std::move(admitted)), services));
}

Task<void> ProxySite::serve(Request request, Responder reply, ProgramPlace place,
                            Services& services) {
  Call call{std::move(request), std::move(reply), std::move(place), {}, false, {}};
  call.name = fmt::format("proxy \"{}\"", call.request.path.substr(0, call.request.mountLength));
  if (call.request.body) {
    const ProgramUpload upload = anyUpload();
    auto received = co_await receiveBody(call.request, &upload, services);
    if (auto* refusal = std::get_if<std::optional<Response>>(&received)) {
      if (*refusal) std::move(call.reply).send(std::move(**refusal));
      co_return;
    }
    call.body = std::get<SpooledBody>(std::move(received));
    call.body.remove();  // its descriptor is enough
    call.hasBody = true;
  }
  co_await ask(std::move(call), services);
}

Task<void> ProxySite::ask(Call call, Services& services) {
  const Upstreams::Caller caller{call.name, call.request.cancellation, call.hasBody};
  auto place = co_await upstreams_.takePlace(caller, services);
  if (!place) co_return std::move(call.reply).send(noConnectionFree());
  auto connected = co_await upstreams_.connect(caller, services);
  if (!connected) {
    services.programs.counters().add(Counter::kScriptsFailed);
    co_return std::move(call.reply)
        .send(notConnected(connected.error(), "The capsule behind this one does not answer"));
  }
  const std::string mount =
      call.request.mountLength > 1 ? call.request.path.substr(0, call.request.mountLength) : "";
  ProxyRoute route = proxyRoute(args_, upstreams_.address(connected->upstream), mount);
  auto url = urlForCapsule(call.request, route);
  if (!url) {
    co_return std::move(call.reply)
        .send(Response::failure(Status::kBadRequest, "The URL is too long to be passed on"));
  }
  pass(std::move(call), std::move(*place), std::move(*connected), std::move(route), std::move(*url),
       services);
}

void ProxySite::pass(Call call, Upstreams::Place place, Upstreams::Connected connected,
                     ProxyRoute route, std::string url, Services& services) {
  const Request& request = call.request;
  const std::string& host = route.keepsHost ? request.host : route.capsuleHost;
  auto stream = std::make_unique<DialledStream>(std::move(connected.socket), context_,
                                                args_.serverName.empty() ? host : args_.serverName);
  ProxyQuestion question{
      encodeProxyHeader(args_.proxyProtocol, request.client, request.clientPort, request.port),
      url + "\r\n", std::move(call.body)};
  std::string name = fmt::format("{} ({})", call.name, upstreams_.address(connected.upstream));
  const auto unwanted = request.cancellation;
  Responder reply = std::move(call.reply);
  ProgramAnswer answer{
      .source =
          std::make_unique<ProxyOutput>(services.loop, services.pool, std::move(stream),
                                        std::move(place), std::move(name), std::move(question)),
      .from = HeaderFrom::kCapsule,
      .times = args_.times,
      .place = std::move(call.place),
      .counters = services.programs.counters(),
      .runsToItsEnd = call.hasBody,
      .rewrite = [asked = std::move(call.request), route = std::move(route)](ScriptHeader& header) {
        const int family = static_cast<int>(header.status) / 10;
        if (family == 3) header.meta = redirectForVisitor(std::move(header.meta), asked, route);
      }};
  services.tasks.start(passAnswer(std::move(answer), unwanted, std::move(reply), services));
}

}  // namespace egalaxyd
