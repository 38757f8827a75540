// module = "info".
#pragma once

#include <string>

#include "worker/site/site.h"

namespace egalaxyd {

/// Tells what runs here and how it is doing: nothing of the configuration but its limits, no path,
/// no client.
class InfoSite final : public Site {
 public:
  /// Asks for the machine's name.
  InfoSite();
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const std::string fixed_;  ///< what stays the same as long as the program runs
};

}  // namespace egalaxyd
