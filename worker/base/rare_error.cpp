#include "worker/base/rare_error.h"

#include <spdlog/spdlog.h>

#include <string>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

constexpr auto kBetweenErrors = std::chrono::minutes(1);

}  // namespace

void RareError::log(const Error& error) {
  const auto now = Clock::now();
  if (now < next_) {
    ++silent_;
    return;
  }
  next_ = now + kBetweenErrors;
  const std::string more = silent_ == 0 ? "" : fmt::format(" (and {} more since)", silent_);
  silent_ = 0;
  spdlog::error("{}{}", logQuote(error.message), more);
}

}  // namespace egalaxyd
