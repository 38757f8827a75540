#include "worker/module/proxy_site.h"

#include <spdlog/fmt/fmt.h>

#include <utility>
#include <variant>

#include "common/base/path.h"
#include "worker/dynamic/capsule_handshake.h"
#include "worker/dynamic/program_answer.h"
#include "worker/dynamic/program_request.h"
#include "worker/dynamic/programs.h"
#include "worker/dynamic/proxy_output.h"
#include "worker/dynamic/proxy_protocol.h"

namespace egalaxyd {
namespace {

/// The capsule behind it decides who may upload, and how much.
ProgramUpload anyUpload() {
  ProgramUpload upload;
  upload.scriptDecides = true;
  return upload;
}

/// "" for "/".
std::string mountOf(const Request& request) {
  return request.mountLength > 1 ? request.path.substr(0, request.mountLength) : "";
}

}  // namespace

ProxySite::ProxySite(const ProxyArgs& args, std::shared_ptr<const DialledContext> context,
                     std::uint32_t firstUpstream, milliseconds queueTimeout)
    : args_(args),
      context_(std::move(context)),
      upstreams_(args.upstream, firstUpstream, queueTimeout) {}

void ProxySite::handle(Request request, Responder reply, Services& services) {
  const bool isUpload = request.protocol == Protocol::kTitan;
  if (auto refusal = isUpload ? std::nullopt : refuseBody(nullptr, request)) {
    return std::move(reply).send(std::move(*refusal));
  }
  auto admitted = services.programs.admit(request.client);
  if (auto* refusal = std::get_if<Response>(&admitted)) {
    return std::move(reply).send(std::move(*refusal));
  }
  services.tasks.start(serve(std::move(request), std::move(reply),
                             std::get<ProgramPlace>(std::move(admitted)), services));
}

Task<void> ProxySite::serve(Request request, Responder reply, ProgramPlace place,
                            Services& services) {
  const std::string mount = mountOf(request);
  Call call{std::move(request), std::move(reply), std::move(place), {}, false, {}};
  call.name = fmt::format("proxy \"{}\"", mount.empty() ? "/" : mount);
  if (call.request.body) {
    call.isUpload = call.request.protocol == Protocol::kTitan;
    const ProgramUpload upload = anyUpload();
    auto received = co_await receiveBody(call.request, call.isUpload ? &upload : nullptr, services);
    if (auto* refusal = std::get_if<std::optional<Response>>(&received)) {
      if (*refusal) std::move(call.reply).send(std::move(**refusal));
      co_return;
    }
    // Else it is a query.
    if (call.isUpload) call.body = std::get<SpooledBody>(std::move(received));
    call.body.remove();  // its descriptor is enough
  }
  co_await ask(std::move(call), services);
}

Task<void> ProxySite::ask(Call call, Services& services) {
  const Upstreams::Caller caller{
      call.name, call.request.client.limitNumber(), call.request.cancellation, call.isUpload, true,
      {}};
  auto place = co_await upstreams_.takePlace(caller, services);
  if (!place) co_return std::move(call.reply).send(noConnectionFree());
  const Request& request = call.request;
  std::unique_ptr<DialledStream> stream;
  Upstreams::Prepare prepare = [&](Upstreams::Connected& connected) {
    stream = streamTo(connected, request);
    return shakeHands(
        *stream,
        encodeProxyHeader(args_.proxyProtocol, request.client, request.clientPort, request.port),
        args_.upstream.connectTimeout, caller, services);
  };
  auto connected = co_await upstreams_.connect(*place, caller, services, std::move(prepare));
  if (!connected) {
    services.programs.counters().add(Counter::kScriptsFailed);
    co_return std::move(call.reply)
        .send(notConnected(connected.error(), "The capsule behind this one does not answer"));
  }
  ProxyRoute route = routeTo(connected->upstream, request);
  auto url = urlForCapsule(request, route);
  if (!url) {
    co_return std::move(call.reply)
        .send(Response::failure(Status::kBadRequest, "The URL is too long to be passed on"));
  }
  auto source = std::make_unique<ProxyOutput>(
      services.loop, services.pool, std::move(stream), std::move(*place),
      fmt::format("{} ({})", call.name, upstreams_.address(connected->upstream)),
      ProxyQuestion{*url + "\r\n", std::move(call.body)});
  pass(std::move(call), std::move(source), connected->counts, std::move(route), services);
}

ProxyRoute ProxySite::routeTo(std::size_t upstream, const Request& request) const {
  return proxyRoute(args_, upstreams_.address(upstream), mountOf(request));
}

std::unique_ptr<DialledStream> ProxySite::streamTo(Upstreams::Connected& connected,
                                                   const Request& request) const {
  const ProxyRoute route = routeTo(connected.upstream, request);
  const std::string& host = route.keepsHost ? request.host : route.capsuleHost;
  return std::make_unique<DialledStream>(std::move(connected.socket), context_,
                                         args_.serverName.empty() ? host : args_.serverName);
}

void ProxySite::pass(Call call, std::unique_ptr<AnswerSource> source, UpstreamCounts& counts,
                     ProxyRoute route, Services& services) {
  const auto unwanted = call.request.cancellation;
  Responder reply = std::move(call.reply);
  ProgramAnswer answer{
      .source = std::move(source),
      .from = HeaderFrom::kCapsule,
      .times = args_.times,
      .place = std::move(call.place),
      .counters = services.programs.counters(),
      .upstream = &counts,
      .runsToItsEnd = call.isUpload,
      .rewrite = [asked = std::move(call.request), route = std::move(route)](ScriptHeader& header) {
        const int family = static_cast<int>(header.status) / 10;
        if (family == 3) header.meta = redirectForVisitor(std::move(header.meta), asked, route);
      }};
  services.tasks.start(passAnswer(std::move(answer), unwanted, std::move(reply), services));
}

}  // namespace egalaxyd
