// What workers, the master and a launcher say to each other: one message per packet
// (SOCK_SEQPACKET), pure. The launcher believes nothing that a worker says beyond what its plan
// allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace egalaxyd {

/// The largest message; a launcher keeps to it as well.
inline constexpr std::size_t kMostLauncherBytes = 48 * 1024;

// A worker asks. The number of a run, or of a dialled connection, is free again after NotStarted,
// ScriptEnded or Dialled, of which exactly one comes, whether it was stopped or not.

/// A script is to be run; answered by ScriptStarted or NotStarted.
struct RunScript {
  std::uint32_t run = 0;    ///< the worker's number for it, not in use
  std::uint32_t mount = 0;  ///< ScriptMount::number
  /// The script's path below the mount's root, without '/' in front; "" where the mount has one
  /// program for all.
  std::string script;
  /// By their places in kScriptVariables.
  std::vector<std::pair<std::uint8_t, std::string>> variables;
  std::string body;    ///< the file in the spool folder that is standard input; "": none
  std::string client;  ///< as the log shows it, for `egalaxyctl scripts`
  std::uint64_t clientNumber = 0;  ///< IpAddress::limitNumber(): clients take turns
  bool operator==(const RunScript&) const = default;
};
/// The run's answer is no longer wanted: half a second later its processes get TERM, then KILL; one
/// that waits or is dialled is NotStarted. One that has ended is nobody's mistake.
struct StopScript {
  std::uint32_t run = 0;
  bool operator==(const StopScript&) const = default;
};
/// A connection to an application is wanted; answered by Dialled or NotStarted.
struct DialUpstream {
  std::uint32_t run = 0;
  std::uint32_t upstream = 0;  ///< UpstreamPlace::number
  std::string user = {};       ///< whose, where each user has one
  bool operator==(const DialUpstream&) const = default;
};
using WorkerAsks = std::variant<RunScript, StopScript, DialUpstream>;

// The launcher answers a worker.

/// With two descriptors: what the script writes to standard output, and to standard error.
struct ScriptStarted {
  std::uint32_t run = 0;
  std::int32_t pid = 0;
  bool operator==(const ScriptStarted&) const = default;
};
/// With one descriptor: a connected, non-blocking socket.
struct Dialled {
  std::uint32_t run = 0;
  bool operator==(const Dialled&) const = default;
};
enum class WhyNot : std::uint8_t {
  kFull = 1,    ///< too many wait already
  kTooLong,     ///< it waited for dynamic.queue_timeout
  kGone,        ///< the script is not there any more; the user has no such application
  kCannotRun,   ///< exec(2) failed, or the script may not be run
  kNoResource,  ///< fork(2), pipe(2) … failed
  kNoAnswer,    ///< the application refused the connection, or did not answer in time
};
struct NotStarted {
  std::uint32_t run = 0;
  WhyNot why = WhyNot::kNoResource;
  std::string text;  ///< for the log
  bool operator==(const NotStarted&) const = default;
};
/// A started script's main process has ended.
struct ScriptEnded {
  std::uint32_t run = 0;
  std::int32_t exitCode = 0;  ///< if `signal` is 0
  std::int32_t signal = 0;
  std::uint64_t cpuMs = 0;  ///< user and system time of it and its children that it waited for
  bool stopped = false;     ///< by us
  bool operator==(const ScriptEnded&) const = default;
};
using LauncherAnswers = std::variant<ScriptStarted, Dialled, NotStarted, ScriptEnded>;

// The master and its launcher.

/// With two descriptors: a memory file with the encoded LauncherPlan, and the spool folder
/// (O_PATH). The first message.
struct TakePlan {
  bool operator==(const TakePlan&) const = default;
};
/// With one descriptor: the launcher's end of a channel to a worker, or to one more of it.
struct TakeWorker {
  std::int64_t worker = 0;  ///< WorkerSetup::id
  bool operator==(const TakeWorker&) const = default;
};
/// Answered by ScriptsRunning.
struct ListScripts {
  std::uint32_t question = 0;
  bool operator==(const ListScripts&) const = default;
};
/// Answered by ScriptStopped.
struct StopProcess {
  std::uint32_t question = 0;
  std::int32_t pid = 0;
  bool operator==(const StopProcess&) const = default;
};
/// No worker comes any more: it ends when its last worker's channel has closed and its last run
/// has ended.
struct FinishRuns {
  bool operator==(const FinishRuns&) const = default;
};
using MasterSays = std::variant<TakePlan, TakeWorker, ListScripts, StopProcess, FinishRuns>;

/// It has read its plan.
struct LauncherReady {
  bool operator==(const LauncherReady&) const = default;
};
/// A worker has said what no worker says: it has to be killed.
struct WorkerLied {
  std::int64_t worker = 0;
  std::string what;  ///< for the log
  bool operator==(const WorkerLied&) const = default;
};
struct RunningScript {
  std::int32_t pid = 0;  ///< 0: it waits for a place
  std::string mount;     ///< ScriptMount::name
  std::string script;
  std::uint64_t ageMs = 0;
  std::uint64_t cpuMs = 0;
  std::string client;
  bool operator==(const RunningScript&) const = default;
};
/// At most 256 of them.
struct ScriptsRunning {
  std::uint32_t question = 0;
  std::uint32_t more = 0;  ///< that are not in the list
  std::vector<RunningScript> scripts;
  bool operator==(const ScriptsRunning&) const = default;
};
struct ScriptStopped {
  std::uint32_t question = 0;
  bool found = false;
  bool operator==(const ScriptStopped&) const = default;
};
/// What the operator should know, for the log.
struct LauncherWarns {
  std::string text;
  bool operator==(const LauncherWarns&) const = default;
};
using LauncherSays =
    std::variant<LauncherReady, WorkerLied, ScriptsRunning, ScriptStopped, LauncherWarns>;

/// How many descriptors come along with it.
std::size_t filesWith(const LauncherAnswers& message);
std::size_t filesWith(const MasterSays& message);

std::string encode(const WorkerAsks& message);
std::string encode(const LauncherAnswers& message);
std::string encode(const MasterSays& message);
std::string encode(const LauncherSays& message);
/// nullopt: nonsense.
std::optional<WorkerAsks> decodeWorkerAsks(std::string_view packet);
std::optional<LauncherAnswers> decodeLauncherAnswers(std::string_view packet);
std::optional<MasterSays> decodeMasterSays(std::string_view packet);
std::optional<LauncherSays> decodeLauncherSays(std::string_view packet);

}  // namespace egalaxyd
