// module = "input".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/config/config.h"
#include "worker/module/nested_sites.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// The query as text: percent-decoded, '+' kept, CR LF and CR made LF. nullopt if it is not text: a
/// broken %XX, invalid UTF-8, control characters other than LF and TAB.
std::optional<std::string> decodeInput(std::string_view query);

/// Asks for input (10; 11 if it is sensitive); a request with input goes on to the nested sites. An
/// empty query is empty input. With `asMeta` the input is stored durably for the user before a
/// nested site sees it; without nested sites a short page says so.
class InputSite final : public Site {
 public:
  InputSite(const InputArgs& args, PathMap sites);
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view) const override { return AcceptedBody::kInput; }
  bool takesEncodedSlash(std::string_view sitePath) const override {
    return sites_.takesEncodedSlash(sitePath);
  }
  /// The input of a sensitive site must not be logged.
  bool keepsTime(std::string_view sitePath) const override { return sites_.keepsTime(sitePath); }
  bool hidesQuery(std::string_view sitePath) const override;

 private:
  bool serves(const Request& request) const;
  Task<void> keep(Request request, Responder reply, Services& services);
  void pass(Request request, Responder reply, Services& services) const;

  const InputArgs args_;  ///< without its sites
  const bool hasSites_;
  const NestedSites sites_;
};

}  // namespace egalaxyd
