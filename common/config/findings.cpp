#include "common/config/findings.h"

#include <string_view>
#include <variant>

namespace egalaxyd {

std::string whereOf(const Config& config, const MountConfig& mount) {
  std::string_view key;
  if (std::holds_alternative<DirectoryArgs>(mount.args)) key = "root";
  if (std::holds_alternative<FileArgs>(mount.args)) key = "path";
  if (std::holds_alternative<AuthenticatedArgs>(mount.args)) key = "ca";
  if (std::holds_alternative<PluginArgs>(mount.args)) key = "library";
  const std::string full = mount.dottedKey + "." + std::string(key);
  return config.lines.contains(full) ? config.where(full) : mount.where;
}

}  // namespace egalaxyd
