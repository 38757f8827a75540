// module = "homes".
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "worker/file/home_folders.h"
#include "worker/module/application_site.h"
#include "worker/module/cgi_site.h"
#include "worker/module/directory_site.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Serves each user's folder below "/~NAME", runs what lies in its folder of scripts, and asks the
/// user's application. Requests come with a mount that includes the name.
class HomesSite final : public Site {
 public:
  /// By name, or kAnyUser: CgiMount::user.
  using Scripts = std::map<std::string, std::unique_ptr<CgiSite>>;

  /// `pages` shows folders as `args` says. `applications`: nullptr without args.socket.
  HomesSite(HomesArgs args, HomeFolders folders, std::unique_ptr<DirectorySite> pages,
            Scripts scripts, std::unique_ptr<ApplicationSite> applications);
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view sitePath) const override {
    return isOfProgram(sitePath) ? AcceptedBody::kBlocks : AcceptedBody::kNothing;
  }
  bool keepsTime(std::string_view sitePath) const override { return isOfProgram(sitePath); }
  bool takesEncodedSlash(std::string_view sitePath) const override { return isOfProgram(sitePath); }
  bool hidesQuery(std::string_view sitePath) const override {
    return args_.program.sensitive && isOfProgram(sitePath);
  }

 private:
  bool isOfScripts(std::string_view sitePath) const;
  bool isOfApplication(std::string_view sitePath) const;
  bool isOfProgram(std::string_view sitePath) const {
    return isOfScripts(sitePath) || isOfApplication(sitePath);
  }
  Task<void> openAndAnswer(std::string user, Request request, Responder reply, Services& services);
  void answer(const std::string& user, HomeFolders::Folder folder, Request request, Responder reply,
              Services& services);
  void run(const std::string& user, Request request, Responder reply, Services& services);

  const HomesArgs args_;
  HomeFolders folders_;
  const std::unique_ptr<DirectorySite> pages_;
  const Scripts scripts_;
  const std::unique_ptr<ApplicationSite> applications_;
};

}  // namespace egalaxyd
