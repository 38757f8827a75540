// What a launcher may run and whom it may call, made by the master from one configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace egalaxyd {

/// One CgiMount of the configuration.
struct ScriptMount {
  std::uint32_t number = 0;  ///< in the configuration's order, see dynamicMounts()
  std::string name;          ///< for the log and lists: "/cgi-bin"
  std::string root;          ///< absolute; its scripts lie below; "" with `program`
  /// `root` has %user%, for which the name stands that the first segment of a script's path is; the
  /// rest of that lies below the root.
  bool anyUser = false;
  bool ownOnly = false;  ///< scripts must be this account's, and nobody else may write them
  std::string program;   ///< absolute: the one program for all; "" with `root`
  std::vector<std::string> arguments;  ///< of `program`
  std::string folder;  ///< absolute: the working folder; "": the one that the script is in
  /// More variables, `env` and `pass` of the configuration.
  std::vector<std::pair<std::string, std::string>> environment;
  bool followsLinks = false;     ///< symlinks = "follow": out of the root, too
  std::uint32_t processes = 8;   ///< at once
  std::uint64_t cpuSeconds = 0;  ///< RLIMIT_CPU; 0: none
  /// What a script leaves behind is ended so long after its start; 0: never.
  std::chrono::milliseconds whole{};
  std::chrono::milliseconds
      longest{};  ///< a run is ended after this, whatever its worker says; 0: never
  bool operator==(const ScriptMount&) const = default;
};

/// An application that may be called.
struct UpstreamPlace {
  std::uint32_t number = 0;  ///< in the configuration's order, see dynamicMounts()
  std::string address;       ///< "unix:/run/app.sock", "127.0.0.1:4000", "[::1]:4000", "name:4000"
  std::chrono::milliseconds connectTimeout{3'000};
  /// Where it is a socket of each user's own, for which `address` is the pattern: whose there may
  /// be, as `users` of the configuration. Else empty.
  std::vector<std::string> users = {};
  std::uint32_t minUid = 0;  ///< of them
  bool operator==(const UpstreamPlace&) const = default;
};

struct LauncherPlan {
  std::uint32_t processes = 16;  ///< scripts at once
  std::uint32_t queue = 64;      ///< scripts that may wait for a place
  std::chrono::milliseconds queueTimeout{10'000};
  /// Out of scripts' sight by Landlock: the state and the runtime folder, where scripts have the
  /// workers' account; absolute.
  std::vector<std::string> hidden;
  std::vector<ScriptMount> mounts;
  std::vector<UpstreamPlace> upstreams;
  bool operator==(const LauncherPlan&) const = default;
};

std::string encode(const LauncherPlan& plan);
/// nullopt: nonsense.
std::optional<LauncherPlan> decodeLauncherPlan(std::string_view packed);

}  // namespace egalaxyd
