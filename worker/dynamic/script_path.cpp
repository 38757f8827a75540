#include "worker/dynamic/script_path.h"

#include <algorithm>

#include "common/base/path.h"

namespace egalaxyd {

std::optional<ScriptPlace> scriptPlace(std::string_view sitePath, std::size_t count) {
  std::size_t end = 0;
  for (; count > 0; --count) {
    if (end + 1 >= sitePath.size()) return std::nullopt;
    end = std::min(sitePath.find('/', end + 1), sitePath.size());
  }
  const std::string_view script = sitePath.substr(1, end - 1);
  if (script.find(kEncodedSlash) != std::string_view::npos) return std::nullopt;
  return ScriptPlace{std::string(script), pathInfoOf(sitePath.substr(end))};
}

std::string pathInfoOf(std::string_view sitePath) {
  std::string pathInfo(sitePath);
  std::replace(pathInfo.begin(), pathInfo.end(), kEncodedSlash, '/');
  return pathInfo;
}

}  // namespace egalaxyd
