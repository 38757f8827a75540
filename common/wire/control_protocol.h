// What egalaxyctl and the master say to each other on the control socket: one JSON object per line
// each way. {"v":1,"command":"status"} -> {"ok":true,...} or {"ok":false,"error":"..."}. Before
// that, "backup" is answered with lines {"bytes":N}, N bytes behind each: an archive, as
// backup_archive.h describes it, uncompressed; only {"ok":true} says that it is whole.
#pragma once

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Object.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd {

inline constexpr int kControlVersion = 1;
/// In the run-time folder.
inline constexpr const char* kControlSocket = "control.sock";
/// Rows of a list where none are asked for, and the most that can be.
inline constexpr std::int64_t kUsualControlRows = 50;
inline constexpr std::int64_t kMostControlRows = 1'000;
/// Longest request, its line end not counted.
inline constexpr std::size_t kMaxControlLine = 4096;

enum class ControlCommand {
  kStatus,
  kStats,
  kLimits,
  kCertificates,
  kUsers,
  kUser,
  kUploads,
  kUpload,
  kFleet,
  kForgetUser,
  kContent,
  kRestore,
  kBackup,
  kClearLimits,
  kReload,
  kInstallPlace,
  kScripts,
  kStopScript,
  kUpstreams,
  kRenew,
  kRestart,
  kLog,
  kStop,
};

/// By ControlCommand.
inline constexpr std::array<std::string_view, 23> kControlCommands{
    "status",    "stats",        "limits",  "certificates",  "users",   "user",
    "uploads",   "upload",       "fleet",   "forget_user",   "content", "restore",
    "backup",    "clear_limits", "reload",  "install_place", "scripts", "stop_script",
    "upstreams", "renew",        "restart", "log",           "stop"};

constexpr std::string_view nameOf(ControlCommand command) {
  return kControlCommands[static_cast<std::size_t>(command)];
}
/// nullopt: there is no such command.
constexpr std::optional<ControlCommand> parseControlCommand(std::string_view name) {
  const auto found = std::ranges::find(kControlCommands, name);
  if (found == kControlCommands.end()) return std::nullopt;
  return static_cast<ControlCommand>(found - kControlCommands.begin());
}

struct ControlRequest {
  using Arguments = std::map<std::string, std::string>;

  ControlRequest() = default;
  ControlRequest(ControlCommand asked, Arguments with = {})
      : command(nameOf(asked)), arguments(std::move(with)) {}

  std::string command;  ///< as it was sent: there may be no such command
  /// What else the object holds; numbers and booleans as they are written.
  Arguments arguments;

  /// "" where there is none of that name.
  std::string argument(const std::string& name) const {
    const auto found = arguments.find(name);
    return found == arguments.end() ? "" : found->second;
  }
};

/// Reads a line without its end. Fails with kInvalid when it is no flat JSON object of this
/// version with a command in it; the message is for the client. Pure.
Result<ControlRequest> parseControlRequest(std::string_view line);
/// The line that asks for it, with its end.
std::string encodeControlRequest(const ControlRequest& request);

/// An object whose members keep the order in which they were set.
inline Poco::JSON::Object jsonObject() { return Poco::JSON::Object(Poco::JSON_PRESERVE_KEY_ORDER); }

Poco::JSON::Array jsonArray(const std::vector<std::string>& texts);
/// Seconds since 1970, as JSON has times.
template <class Duration>
std::int64_t unixTime(std::chrono::time_point<std::chrono::system_clock, Duration> when) {
  // Not by nanoseconds, of which 64 bits hold no more than until the year 2262.
  return std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count();
}

/// Most bytes behind one {"bytes":N} line.
inline constexpr std::int64_t kMostControlBytes = 64 * 1024;

/// `answer` as a line with its end.
std::string encodeControlAnswer(const Poco::JSON::Object& answer);
/// {"ok":true}, to which a command adds what it tells.
Poco::JSON::Object controlSuccess();
/// {"ok":false,"error":...}, and "complaints" where there are any.
Poco::JSON::Object controlFailure(const std::string& error,
                                  const std::vector<std::string>& complaints = {});

}  // namespace egalaxyd
