// Where log lines go, as the configuration names it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// Different places that one configuration may name: master and workers keep each open, and after a
/// rotation all descriptors fit in a worker's channel.
inline constexpr std::size_t kMostLogs = 128;

struct LogPlace {
  std::string target;  ///< "stderr", "journal" or a file
  std::string where;   ///< for complaints, that of the first key that names it
};

/// Whether a target is a file, which may be rotated. "" is none.
bool isLogFile(std::string_view target);
/// Each place once; the first is log.target, for all that is no access line.
std::vector<LogPlace> logPlaces(const Config& config);
/// Index into `places` (logPlaces()) for access lines of `site`; of no site with nullptr.
std::size_t accessPlace(const Config& config, const std::vector<LogPlace>& places,
                        const SiteConfig* site = nullptr);

}  // namespace egalaxyd
