// A site where visitors leave a line.
#pragma once

#include <egalaxyd/plugin.h>

#include <string>

namespace guestbook {

/// The page lists the newest entries; a query adds an entry and requires a client certificate.
///   args = { title = "…", show = "100" }
class Guestbook final : public egalaxyd::SitePlugin {
 public:
  egalaxyd::Result<void> configure(const egalaxyd::PluginArguments& arguments) override;
  void handle(egalaxyd::Request request, egalaxyd::Responder reply,
              egalaxyd::Services& services) override;

 private:
  egalaxyd::Task<void> list(egalaxyd::Request request, egalaxyd::Responder reply) const;
  static egalaxyd::Task<void> sign(egalaxyd::Request request, egalaxyd::Responder reply);

  std::string title_ = "Guestbook";
  std::size_t show_ = 100;
};

}  // namespace guestbook
