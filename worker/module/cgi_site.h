// module = "cgi".
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/config/config.h"
#include "worker/dynamic/find_script.h"
#include "worker/dynamic/program_place.h"
#include "worker/dynamic/request_spool.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Runs the scripts of a folder, or one program for all of a mount: see worker/dynamic.
class CgiSite final : public Site {
 public:
  /// `number`: CgiMount::number. `launcher`: the place of its account among scriptAccounts().
  CgiSite(CgiArgs args, std::uint32_t number, std::size_t launcher);
  void handle(Request request, Responder reply, Services& services) override;
  /// As handle(), where args.root has %user%: `user` stands for that.
  void handleOf(std::string user, Request request, Responder reply, Services& services);
  AcceptedBody takes(std::string_view) const override {
    return args_.upload ? AcceptedBody::kUploads : AcceptedBody::kBlocks;
  }
  UploadRight uploadRight(const Request& request, std::string_view) const override;
  std::string_view tokenName(const Request& request, std::string_view) const override;
  bool hidesQuery(std::string_view) const override { return args_.program.sensitive; }
  bool keepsTime(std::string_view) const override { return true; }
  bool takesEncodedSlash(std::string_view) const override { return true; }

 private:
  /// A request on its way to its script.
  struct Call {
    Request request;
    Responder reply;
    ProgramPlace place;
    std::string user;
    FoundScript script;
    SpooledBody body;
    bool hasBody = false;
  };

  Task<void> serve(std::string user, Request request, Responder reply, ProgramPlace place,
                   Services& services) const;
  std::filesystem::path rootOf(const std::string& user) const;
  Task<Result<FoundScript>> find(const std::string& user, const Request& request,
                                 Services& services) const;
  Task<void> run(Call call, Services& services) const;

  const CgiArgs args_;
  const std::uint32_t number_;
  const std::size_t launcher_;
};

}  // namespace egalaxyd
