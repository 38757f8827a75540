// module = "info".
#pragma once

#include <string>

#include "worker/site/site.h"

namespace egalaxyd {

/// Shows versions, uptime and counters; of the configuration only the limits, no path, no client.
class InfoSite final : public Site {
 public:
  /// Looks up the machine's name.
  InfoSite();
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const std::string fixed_;  ///< what stays the same as long as the program runs
};

}  // namespace egalaxyd
