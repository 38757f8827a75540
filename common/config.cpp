#include "common/config.h"

#include <spdlog/fmt/fmt.h>

namespace egalaxyd {

std::string ListenAddress::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string Config::where(const std::string& key) const {
  if (const auto line = lines.find(key); line != lines.end()) {
    return fmt::format("{}:{}: {}", file.string(), line->second, key);
  }
  return file.empty() ? key : fmt::format("{}: {}", file.string(), key);
}

}  // namespace egalaxyd
