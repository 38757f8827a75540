// module = "homes".
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "worker/file/home_folders.h"
#include "worker/module/cgi_site.h"
#include "worker/module/directory_site.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Serves each user's folder below "/~NAME", and runs what lies in its folder of scripts. Requests
/// come with a mount that includes the name.
class HomesSite final : public Site {
 public:
  /// By name, or kAnyUser: CgiMount::user.
  using Scripts = std::map<std::string, std::unique_ptr<CgiSite>>;

  /// `pages` shows folders as `args` says.
  HomesSite(HomesArgs args, HomeFolders folders, std::unique_ptr<DirectorySite> pages,
            Scripts scripts);
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view sitePath) const override {
    return isOfScripts(sitePath) ? AcceptedBody::kBlocks : AcceptedBody::kNothing;
  }
  bool keepsTime(std::string_view sitePath) const override { return isOfScripts(sitePath); }
  bool takesEncodedSlash(std::string_view sitePath) const override { return isOfScripts(sitePath); }
  bool hidesQuery(std::string_view sitePath) const override {
    return args_.program.sensitive && isOfScripts(sitePath);
  }

 private:
  bool isOfScripts(std::string_view sitePath) const;
  Task<void> openAndAnswer(std::string user, Request request, Responder reply, Services& services);
  void answer(const std::string& user, HomeFolders::Folder folder, Request request, Responder reply,
              Services& services);
  void run(const std::string& user, Request request, Responder reply, Services& services);

  const HomesArgs args_;
  HomeFolders folders_;
  const std::unique_ptr<DirectorySite> pages_;
  const Scripts scripts_;
};

}  // namespace egalaxyd
