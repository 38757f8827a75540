#include "master/supervise/port_holder.h"

#include <spdlog/fmt/fmt.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

/// "socket:[inode]" of each listening socket on `port` in one of the kernel's tables.
void addListeners(const char* table, std::uint16_t port, std::set<std::string>& links) {
  constexpr unsigned kListen = 0x0A;
  std::ifstream in(table);
  for (std::string line; std::getline(in, line);) {
    unsigned localPort = 0;
    unsigned state = 0;
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), "%*d: %*[^:]:%x %*[^:]:%*x %x %*s %*s %*s %*d %*d %lu",
                    &localPort, &state, &inode) == 3 &&
        localPort == port && state == kListen) {
      links.insert("socket:[" + std::to_string(inode) + "]");
    }
  }
}

bool hasOneOf(const fs::path& process, const std::set<std::string>& links) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(process / "fd", error)) {
    if (links.contains(fs::read_symlink(entry.path(), error).string())) return true;
  }
  return false;
}

}  // namespace

std::string describePortHolder(std::uint16_t port, std::string_view options) {
  std::set<std::string> links;
  addListeners("/proc/self/net/tcp", port, links);
  addListeners("/proc/self/net/tcp6", port, links);
  if (hasOneOf("/proc/self", links)) {
    return "this server's own listener; only a restart can change between one address and all";
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!hasOneOf(entry.path(), links)) continue;
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    return fmt::format("process {} ({}); stop it, or listen elsewhere: {}", pid, name, options);
  }
  return fmt::format("another process; stop it, or listen elsewhere: {}", options);
}

}  // namespace egalaxyd
