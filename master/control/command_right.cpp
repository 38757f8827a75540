#include "master/control/command_right.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace egalaxyd {
namespace {

template <class Items, class Item>
bool contains(const Items& items, const Item& item) {
  return std::ranges::find(items, item) != items.end();
}

}  // namespace

std::string whyRefused(const ControlPeer& peer, const Commanders& commanders) {
  const bool worker = commanders.isScript || contains(commanders.workerProcesses, peer.pid);
  if (!worker && (peer.uid == 0 || peer.uid == commanders.owner)) return "";
  const bool account = contains(commanders.workerAccounts, peer.uid);
  if (!worker && !account && contains(peer.groups, commanders.group)) return "";
  return fmt::format(
      "{} may look, but change nothing, and see no content: ask as root (sudo egalaxyctl ...), as "
      "the user that the master runs as ({}), or as a member of the control socket's group ({}; "
      "usermod -aG {} NAME makes one, who has to log in again)",
      commanders.isScript ? "a script"
      : worker || account ? "the account of the workers"
                          : fmt::format("user {}", peer.uid),
      commanders.owner, commanders.group, commanders.group);
}

}  // namespace egalaxyd
