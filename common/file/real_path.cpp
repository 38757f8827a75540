#include "common/file/real_path.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <string_view>

namespace egalaxyd {

std::optional<std::string> realPathOf(int fd) {
  constexpr std::string_view kRemoved = " (deleted)";  // the kernel's
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  std::array<char, PATH_MAX> path;
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length <= 0) return std::nullopt;
  std::string found(path.data(), static_cast<std::size_t>(length));
  if (found.ends_with(kRemoved)) found.resize(found.size() - kRemoved.size());
  return found;
}

std::optional<std::string> pathBelow(std::string_view root, std::string_view path) {
  if (root == "/") root = "";
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (path.empty() || path == "/") return ".";
  if (path.front() != '/') return std::nullopt;
  return std::string(path.substr(1));
}

}  // namespace egalaxyd
