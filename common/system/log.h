// spdlog, set up once per process: the one logger that everything writes to.
#pragma once

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/config/config.h"
#include "common/config/log_places.h"

namespace egalaxyd {

/// Opens what a LogPlace names. Never waits. Follows no symbolic link and takes no file with a
/// second name: who may write to the folder must not lead a root master elsewhere. kInvalid where
/// it is neither such a file nor a device.
Result<UniqueFd> openLogTarget(const std::string& target);
/// Replaces the process's default logger (spdlog::info and its like) by one that writes to `target`
/// where it stands, synchronously: a line that would block is dropped and counted. `name`:
/// "master", "worker 0".
void useLog(const LogConfig& config, std::string_view name, UniqueFd target);
/// Likewise, with a target for each of logPlaces(config): a worker calls it after the fork.
void useLogs(const Config& config, std::string_view name, std::vector<UniqueFd> targets);
/// openLogTarget() and useLog().
Result<void> openLog(const LogConfig& config, std::string_view name);
/// From now on, until the next useLog().
void setLogLevel(LogLevel level);
/// From here on a thread of its own writes, and gathers lines: a stuck or full target costs its
/// lines, never time. For processes that fork no more.
void startLogWriter();
/// Later lines of a place (index into logPlaces()) go to `target`, which is there after a rotation.
/// Never waits.
void changeLogTarget(std::size_t place, UniqueFd target);
/// Writes out what is held back and ends the writer thread. Logging afterwards goes to stderr.
void closeLog();
/// Warnings and errors are told to `tell` as well from now on, by any thread; set it while there is
/// one. Empty: to nobody.
void reportFaults(
    std::function<void(std::int64_t unixTime, bool isError, std::string_view text)> tell);
/// Lines dropped since the last call because the target did not take them. Once it takes lines
/// again, the log itself says how many are missing.
std::uint64_t takeDroppedLogLines();

/// `text` with control characters, what is invisible, quotes and backslashes escaped: no client can
/// forge a line.
std::string logQuote(std::string_view text);

/// One finished connection. In text, on one line:
///   gemini 20 "gemini://example.org/a?q" "text/gemini" 1234B 1.250ms 192.0.2.0 user=- ended="ok"
/// combined:
///   192.0.2.0 - - [22/Nov/2026:19:06:01 +0000] "gemini://example.org/a?q" 20 1234 "-" "-"
struct AccessRecord {
  std::string_view protocol;
  std::string_view url;  ///< as sent; "" when no request line was read
  int status = 0;        ///< 0: the connection ended before a header was sent
  std::string_view meta;
  std::uint64_t bytes = 0;  ///< of the response as the client's socket took it, before TLS
  std::chrono::nanoseconds duration{0};  ///< from accept to the end
  std::string_view client;               ///< masked as configured
  std::string_view user;          ///< first 16 hex digits of the certificate's fingerprint, or ""
  std::string_view name = {};     ///< the operator's, of the certificate or token; behind '@'
  std::string_view ended = "ok";  ///< or why it ended early: "timeout", "client left", …
};
/// `place`: index into logPlaces(); nullopt: where lines of no site go.
void logAccess(const AccessRecord& record, std::optional<std::size_t> place = {});
/// Stands for refused requests of this second that got no line of their own; a message where the
/// format is "combined", since it is no request. In text:
///   123 more refused from 192.0.2.0
void logMoreRefusals(std::uint64_t count, std::string_view client);

}  // namespace egalaxyd
