// module = "scgi" and module = "fastcgi".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "common/config/config.h"
#include "worker/dynamic/application_output.h"
#include "worker/dynamic/program_place.h"
#include "worker/dynamic/request_spool.h"
#include "worker/dynamic/script_variables.h"
#include "worker/dynamic/upstreams.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Asks applications that run elsewhere. Its connections are made by the first launcher.
class ApplicationSite final : public Site {
 public:
  /// `firstUpstream`: UpstreamMount::number of the first address. `queueTimeout`: dynamic's.
  ApplicationSite(const ScgiArgs& args, std::uint32_t firstUpstream, milliseconds queueTimeout);
  ApplicationSite(const FastcgiArgs& args, std::uint32_t firstUpstream, milliseconds queueTimeout);

  void handle(Request request, Responder reply, Services& services) override;
  /// As handle(), where each user has an application: that of `user`.
  void handleOf(std::string user, Request request, Responder reply, Services& services);
  AcceptedBody takes(std::string_view) const override {
    return upload_ ? AcceptedBody::kUploads : AcceptedBody::kBlocks;
  }
  UploadRight uploadRight(const Request& request, std::string_view) const override;
  std::string_view tokenName(const Request& request, std::string_view) const override;
  bool hidesQuery(std::string_view) const override { return program_.sensitive; }
  bool keepsTime(std::string_view) const override { return true; }
  bool takesEncodedSlash(std::string_view) const override { return true; }

 private:
  using Speech = ApplicationOutput::Speech;
  /// What only FastCGI has.
  struct Fastcgi {
    std::uint32_t keep = 0;
    std::string scriptFilename;
    std::string root;
  };
  /// A request on its way to an application.
  struct Call {
    Request request;
    Responder reply;
    ProgramPlace place;
    SpooledBody body;
    bool hasBody = false;
    std::string name;    ///< for the log: scgi "/app"
    std::string head;    ///< what is sent before the body
    bool fresh = false;  ///< no kept connection is used
    std::string user;    ///< whose application; "": the mount has one for all
  };

  ApplicationSite(Speech speech, const ProgramArgs& program, const UpstreamArgs& upstream,
                  const std::optional<ProgramUpload>& upload, Fastcgi fastcgi,
                  std::uint32_t firstUpstream, milliseconds queueTimeout);

  Task<void> serve(Call call, Services& services);
  Task<std::optional<std::string>> headOf(const Request& request, std::uint64_t bodySize) const;
  Task<void> ask(Call call, Services& services);
  void pass(Call call, Upstreams::Place place, Upstreams::Connected connected, Services& services);

  const Speech speech_;
  const ProgramArgs program_;
  const std::optional<ProgramUpload> upload_;
  const Fastcgi fastcgi_;
  Upstreams upstreams_;  ///< of this worker; loop thread only
};

}  // namespace egalaxyd
