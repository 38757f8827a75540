// module = "proxy".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/config/config.h"
#include "worker/dynamic/answer_source.h"
#include "worker/dynamic/program_place.h"
#include "worker/dynamic/proxy_urls.h"
#include "worker/dynamic/request_spool.h"
#include "worker/dynamic/upstreams.h"
#include "worker/site/site.h"
#include "worker/transport/dialled_stream.h"

namespace egalaxyd {

/// Asks another capsule. Its connections are made by the first launcher, TLS is ours.
class ProxySite final : public Site {
 public:
  /// `firstUpstream`: UpstreamMount::number of the first address. `queueTimeout`: dynamic's.
  /// `context`: nullptr without TLS.
  ProxySite(const ProxyArgs& args, std::shared_ptr<const DialledContext> context,
            std::uint32_t firstUpstream, milliseconds queueTimeout);

  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view) const override {
    return args_.titan ? AcceptedBody::kUploads : AcceptedBody::kBlocks;
  }
  UploadRight uploadRight(const Request&, std::string_view) const override {
    return args_.titan ? UploadRight::kOpen : UploadRight::kNone;
  }
  bool hidesQuery(std::string_view) const override { return args_.sensitive; }
  bool keepsTime(std::string_view) const override { return true; }
  bool takesEncodedSlash(std::string_view) const override { return true; }

 private:
  /// A request on its way to a capsule.
  struct Call {
    Request request;
    Responder reply;
    ProgramPlace place;
    SpooledBody body;
    bool isUpload = false;
    std::string name;  ///< for the log: proxy "/old"
  };

  Task<void> serve(Request request, Responder reply, ProgramPlace place, Services& services);
  Task<void> ask(Call call, Services& services);
  void pass(Call call, std::unique_ptr<AnswerSource> source, UpstreamCounts& counts,
            ProxyRoute route, Services& services);
  ProxyRoute routeTo(std::size_t upstream, const Request& request) const;
  std::unique_ptr<DialledStream> streamTo(Upstreams::Connected& connected,
                                          const Request& request) const;

  const ProxyArgs args_;
  const std::shared_ptr<const DialledContext> context_;
  Upstreams upstreams_;  ///< of this worker; loop thread only
};

}  // namespace egalaxyd
