// module = "redirect".
#pragma once

#include "common/config/config.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Redirects everything to `to`, in which %path% is the path below the mount, percent-encoded,
/// %query% the query without its '?', and %host% the host.
class RedirectSite final : public Site {
 public:
  explicit RedirectSite(RedirectArgs args) : args_(std::move(args)) {}
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const RedirectArgs args_;
};

}  // namespace egalaxyd
