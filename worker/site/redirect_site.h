// module = "redirect", and what other sites need to send a client elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "common/config.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// A query as it was sent, with what a URI may not hold (raw UTF-8) percent-encoded.
std::string encodeQuery(std::string_view rawQuery);

/// `host` as a URL spells it: an IPv6 address in brackets.
std::string hostInUrl(std::string_view host);

/// 31 to the same path with a slash at its end, the query kept. A full URL where the client came
/// through a port of its own; over Spartan, which knows no others, always a path.
Response redirectToFolder(const Request& request);

/// 30 or 31; a target that no client could ask for, being too long, is a 59.
Response redirectTo(std::string target, bool permanent);

/// Sends everything to `to`, in which %path% is what the mount left of the path, percent-encoded,
/// %query% the query without its '?', and %host% the host.
class RedirectSite final : public Site {
 public:
  explicit RedirectSite(RedirectArgs args) : args_(std::move(args)) {}
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const RedirectArgs args_;
};

}  // namespace egalaxyd
