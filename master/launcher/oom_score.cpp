#include "master/launcher/oom_score.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "common/base/write_all.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kKilledBeforeOthers = "500";

}  // namespace

OomScore::OomScore() : file_(::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC)) {
  std::array<char, 16> text;
  const ssize_t got = file_ ? ::read(file_.get(), text.data(), text.size()) : 0;
  if (got > 0) own_.assign(text.data(), static_cast<std::size_t>(got));
}

void OomScore::beScripts() const {
  if (!own_.empty()) writeAll(file_.get(), kKilledBeforeOthers);
}

void OomScore::beOwn() const {
  if (!own_.empty()) writeAll(file_.get(), own_);
}

}  // namespace egalaxyd
