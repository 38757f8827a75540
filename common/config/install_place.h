// Which site a certificate is for that was handed over (egalaxyctl certificate install). Pure.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

struct InstallPlace {
  std::string host;                ///< that of the site: the state folder has its files by it
  std::vector<std::string> names;  ///< of that site, without "*"
};

/// kNotFound: no site serves `host`. kInvalid: the configuration names a certificate for it, which
/// wins over any that is installed.
Result<InstallPlace> placeToInstall(const Config& config, const std::string& host);

}  // namespace egalaxyd
