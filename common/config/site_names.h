// The names that a site's certificate is for.
#pragma once

#include <string>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// The names that the configuration gives the site; none where it is for every host.
std::vector<std::string> configuredNames(const SiteConfig& site);
/// Those that clients of the site are told; for a site that answers any, this machine's.
std::vector<std::string> namesAskedFor(const SiteConfig& site);
/// Those that a certificate is made with where none is given: a site that answers any name is asked
/// for by this machine's own most of all.
std::vector<std::string> automaticNames(const SiteConfig& site);

}  // namespace egalaxyd
