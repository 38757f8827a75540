// What `status` answers.
#pragma once

#include <Poco/JSON/Object.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "master/control/managed_master.h"

namespace egalaxyd {

struct ReloadFailure {
  std::chrono::system_clock::time_point when;
  std::vector<std::string> complaints;
};

/// `failure` is the last reload's, if that failed.
Poco::JSON::Object describeStatus(const MasterView& master,
                                  const std::optional<ReloadFailure>& failure);

}  // namespace egalaxyd
