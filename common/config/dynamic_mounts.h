// The mounts of a configuration that run scripts or call applications, in an order that master,
// workers and launchers share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// One `cgi` mount, or the scripts of one user of a `homes` mount, or of all of its users where
/// those have no names. `number` counts those before it, nested ones included.
struct CgiMount {
  std::uint32_t number = 0;
  const MountConfig* mount = nullptr;
  /// Of the configuration; of homes made for the user, with %user% in the root where it is anyone.
  std::shared_ptr<const CgiArgs> args;
  std::string path;       ///< the whole one, with those of the mounts that it stands in
  std::string user = {};  ///< of homes: the name, or kAnyUser
};
/// One address of a `to`, or the sockets of all users of a `homes` mount. `number` counts those
/// before it.
struct UpstreamMount {
  std::uint32_t number = 0;
  const MountConfig* mount = nullptr;
  std::shared_ptr<const UpstreamArgs> args;  ///< of the configuration, or made for homes
  std::string host;                          ///< whose site it is
  std::string path;
  std::string address;  ///< of homes with what stands for the user in it
};

struct DynamicMounts {
  std::vector<CgiMount> scripts;
  std::vector<UpstreamMount> upstreams;
  bool none() const { return scripts.empty() && upstreams.empty(); }
};

/// Sites in the order of the configuration; a mount stands before those in it. Points into
/// `config`.
DynamicMounts dynamicMounts(const Config& config);

/// Those of the accounts that scripts have, as the configuration names them; the first is that of
/// [dynamic], which calls the applications too. None twice. A launcher's number is its place here.
std::vector<std::string> scriptAccounts(const Config& config);

/// dynamic.processes, or what it stands for.
std::uint32_t scriptProcesses(const DynamicConfig& dynamic);

}  // namespace egalaxyd
