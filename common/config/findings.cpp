#include "common/config/findings.h"

#include <spdlog/fmt/fmt.h>

#include <variant>

namespace egalaxyd {

void complainOf(const Config& config, Complaints& complaints, const TablePlace& table,
                std::string_view key, std::string_view text) {
  const std::string full = fmt::format("{}.{}", table.key, key);
  if (config.faulty.contains(full)) return;
  const bool isSet = config.lines.contains(full);
  complaints.push_back({isSet ? config.where(full) : table.where,
                        isSet ? std::string(text) : fmt::format("{} {}", key, text)});
}

std::string whereOf(const Config& config, const MountConfig& mount) {
  std::string_view key;
  if (std::holds_alternative<DirectoryArgs>(mount.args) ||
      std::holds_alternative<HomesArgs>(mount.args)) {
    key = "root";
  }
  if (std::holds_alternative<FileArgs>(mount.args)) key = "path";
  if (std::holds_alternative<AuthenticatedArgs>(mount.args)) key = "ca";
  if (std::holds_alternative<PluginArgs>(mount.args)) key = "library";
  if (const auto* cgi = std::get_if<CgiArgs>(&mount.args)) {
    key = cgi->script.empty() ? "root" : "script";
  }
  if (std::holds_alternative<ScgiArgs>(mount.args) ||
      std::holds_alternative<FastcgiArgs>(mount.args) ||
      std::holds_alternative<ProxyArgs>(mount.args)) {
    key = "to";
  }
  const std::string full = mount.dottedKey + "." + std::string(key);
  return config.lines.contains(full) ? config.where(full) : mount.where;
}

}  // namespace egalaxyd
