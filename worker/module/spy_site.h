// module = "spy".
#pragma once

#include <string>
#include <string_view>

#include "worker/site/site.h"

namespace egalaxyd {

/// "name: value" as a line that is safe within a preformatted block, indented: control characters
/// and what is not UTF-8 are written as \n, \t or \xNN, a backslash as two; long values are cut.
std::string factLine(std::string_view name, std::string_view value);

/// Tells the client all that the server knows of the request, the certificate and its user. 40 when
/// the storage does not answer.
class SpySite final : public Site {
 public:
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view) const override { return AcceptedBody::kInput; }

 private:
  static Task<void> answer(RequestUser user, std::string page, Responder reply);
};

}  // namespace egalaxyd
