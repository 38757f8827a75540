// module = "spy".
#pragma once

#include <string>
#include <string_view>

#include "worker/site/site.h"

namespace egalaxyd {

/// "name: value" as an indented line that is safe within a preformatted block: control characters
/// and invalid UTF-8 are written as \n, \t or \xNN, a backslash as two; long values are cut.
std::string factLine(std::string_view name, std::string_view value);

/// Shows the client all that the server knows of the request, the certificate and its user. 40 if
/// the storage does not answer.
class SpySite final : public Site {
 public:
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view) const override { return AcceptedBody::kInput; }

 private:
  static Task<void> answer(RequestUser user, std::string page, Responder reply);
};

}  // namespace egalaxyd
