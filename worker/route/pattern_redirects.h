// A site's redirects by pattern.
#pragma once

#include <string_view>
#include <vector>

#include "common/config/redirect_rules.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Comes before the paths of its site, for plain requests.
class PatternRedirects final : public Site {
 public:
  explicit PatternRedirects(const std::vector<PatternRedirect>& redirects) : rules_(redirects) {}

  /// Whether a request for `path`, which is normalised, is redirected.
  bool cover(std::string_view path) const { return rules_.match(path); }

  /// 30 or 31 to where the first rule that matches leads, with the request's query unless the
  /// target has one of its own.
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const RedirectRules rules_;
};

}  // namespace egalaxyd
