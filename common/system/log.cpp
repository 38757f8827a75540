#include "common/system/log.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <ctime>
#include <memory>
#include <new>
#include <thread>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/mutex.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"

namespace egalaxyd {
namespace {

/// Held back for a slow target at most; lines beyond are dropped and counted.
constexpr std::size_t kMaxHeldBytes = 256 * 1024;
/// How long the writer thread gathers lines before it writes them in one call.
constexpr auto kGather = std::chrono::milliseconds(50);
/// How soon the thread tries again to say that lines are missing.
constexpr auto kRetell = std::chrono::seconds(1);
/// Messages of this logger hold ready-made fields instead of a text.
constexpr std::string_view kAccessLogger = "access";

/// UTF-8 that can be seen passes as it is, every other byte is escaped as text or JSON writes it.
void appendQuoted(spdlog::memory_buf_t& out, std::string_view text, bool json) {
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    std::size_t length = printableLength(text);
    if (isInvisible(text.substr(0, length))) length = 0;
    if (length == 0) {
      fmt::format_to(fmt::appender(out), fmt::runtime(json ? "\\u{:04x}" : "\\x{:02x}"), byte);
    } else {
      if (byte == '"' || byte == '\\') out.push_back('\\');
      out.append(text.data(), text.data() + length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

/// "2026-11-22T19:06:01.123Z"
void appendTime(spdlog::memory_buf_t& out, spdlog::log_clock::time_point time) {
  using namespace std::chrono;
  const std::time_t seconds = spdlog::log_clock::to_time_t(time);
  const auto millis = duration_cast<milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  fmt::format_to(fmt::appender(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, millis);
}

std::string_view nameOf(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::info:
      return "info";
    case spdlog::level::warn:
      return "warn";
    default:
      return "error";
  }
}

/// syslog(3) priorities, as journald reads them from a line's "<N>" prefix.
int priorityOf(spdlog::level::level_enum level) {
  return level >= spdlog::level::err    ? 3
         : level == spdlog::level::warn ? 4
         : level == spdlog::level::info ? 6
                                        : 7;
}

class LineFormatter final : public spdlog::formatter {
 public:
  LineFormatter(LogFormat format, bool journal, std::string process)
      : format_(format), journal_(journal), process_(std::move(process)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    const bool fields =
        std::string_view(message.logger_name.data(), message.logger_name.size()) == kAccessLogger;
    const auto to = fmt::appender(out);
    if (journal_) fmt::format_to(to, "<{}>", priorityOf(message.level));
    if (format_ == LogFormat::kJson) {
      fmt::format_to(to, R"({{"time":")");
      appendTime(out, message.time);
      fmt::format_to(to, R"(","level":"{}","process":"{}",)", nameOf(message.level), process_);
      if (!fields) fmt::format_to(to, R"("message":")");
      if (fields) {
        fmt::format_to(to, "{}", payload);
      } else {
        appendQuoted(out, payload, true);
        fmt::format_to(to, "\"");
      }
      fmt::format_to(to, "}}\n");
      return;
    }
    if (!journal_) {
      appendTime(out, message.time);
      fmt::format_to(to, " {:5} {}: ", nameOf(message.level), process_);
    }
    for (const char c : payload) out.push_back(c == '\n' ? ' ' : c);
    out.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_, journal_, process_);
  }

 private:
  LogFormat format_;
  bool journal_;
  std::string process_;
};

}  // namespace

bool isLogFile(const LogConfig& config) {
  return config.target != "stderr" && config.target != "journal";
}

Result<UniqueFd> openLogTarget(const LogConfig& config) {
  if (config.target == "stderr") {
    const int fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return errnoError("log to stderr", errno);
    return UniqueFd(fd);
  }
  if (config.target == "journal") {
    const int fd = ::sd_journal_stream_fd("egalaxyd", 6, 1);
    if (fd < 0) return errnoError("log to the journal", -fd);
    return UniqueFd(fd);
  }
  UniqueFd fd(::open(config.target.c_str(),
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK,
                     0640));
  const int why = errno;
  struct stat info {};
  const bool known =
      fd ? ::fstat(fd.get(), &info) == 0 : ::lstat(config.target.c_str(), &info) == 0;
  if (known && !(fd && S_ISCHR(info.st_mode))) {
    if (const auto suitable = isFileOfOneName(info); !suitable) {
      return Error{ErrorCode::kInvalid,
                   "the log " + config.target + ": " + suitable.error().message};
    }
  }
  if (!fd) return errnoError("open the log " + config.target, why);
  return fd;
}

namespace {

/// Writes whole lines to a descriptor: in the logging thread, or in a thread of its own.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  LineSink(LogConfig config, UniqueFd fd) : config_(std::move(config)), fd_(std::move(fd)) {}
  ~LineSink() override { stopThread(); }

  void startThread() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    {
      const MutexLock lock(linesMutex_);  // no other thread is there yet
      held_.reserve(kMaxHeldBytes);       // so that nobody waits for memory with the lock held
    }
    threaded_ = true;
    thread_ = std::thread([this] { runThread(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stopThread() {
    if (!threaded_) return;
    {
      const MutexLock lock(linesMutex_);
      stopping_ = true;
    }
    wake_.notifyOne();
    thread_.join();
    threaded_ = false;
  }

  void changeTarget(UniqueFd target) {
    const MutexLock lock(linesMutex_);
    next_ = std::move(target);
  }

  std::uint64_t takeDropped() { return dropped_.exchange(0); }

 private:
  enum class Outcome { kDone, kStuck, kFailed };

  void sink_it_(const spdlog::details::log_msg& message) override {
    const MutexLock lock(linesMutex_);
    line_.clear();
    formatter_->format(message, line_);
    if (!threaded_) {
      UniqueFd old;
      takeNext(old);
      untold_ = deliver({line_.data(), line_.size()}, untold_);
    } else if (held_.size() + line_.size() > kMaxHeldBytes) {
      ++dropped_;
      ++untold_;
    } else {
      const bool wasEmpty = held_.empty();
      held_.append(line_.data(), line_.size());
      if (wasEmpty) wake_.notifyOne();
    }
  }

  void flush_() override {}

  void runThread() {
    std::string lines;
    lines.reserve(kMaxHeldBytes);
    UniqueFd old;
    const auto isWanted = [this]() EGALAXYD_REQUIRES(linesMutex_) {
      return stopping_ || !held_.empty();
    };
    const auto isStopping = [this]() EGALAXYD_REQUIRES(linesMutex_) { return stopping_; };
    MutexLock lock(linesMutex_);
    for (bool last = false; !last || !held_.empty();) {
      if (untold_ == 0) {
        wake_.wait(linesMutex_, isWanted);
      } else {
        wake_.waitFor(linesMutex_, kRetell, isWanted);
      }
      if (!stopping_) wake_.waitFor(linesMutex_, kGather, isStopping);
      lines.swap(held_);
      const std::uint64_t untold = std::exchange(untold_, 0);
      last = stopping_;
      takeNext(old);
      lock.unlock();
      old.reset();
      const std::uint64_t still = deliverOrDrop(lines, untold);
      lines.clear();
      lock.lock();
      untold_ += still;
    }
  }

  std::uint64_t deliverOrDrop(std::string_view lines, std::uint64_t untold) {
    try {
      return deliver(lines, untold);
    } catch (const std::bad_alloc&) {
      const auto lost = static_cast<std::uint64_t>(std::ranges::count(lines, '\n'));
      dropped_ += lost;
      return untold + lost;
    }
  }

  /// Writes a line that says how many lines are missing, where `untold` is not 0, and then `lines`.
  /// Returns how many lines are missing afterwards without a word in the log.
  std::uint64_t deliver(std::string_view lines, std::uint64_t untold) {
    std::string text = untold == 0 ? std::string() : missingLine(untold);
    const std::size_t behindReport = lines.size();
    text += lines;
    Outcome outcome = write(text);
    while (outcome == Outcome::kStuck && mayWait()) outcome = write(text);
    if (outcome == Outcome::kDone) return 0;
    const bool told = text.size() <= behindReport;
    const auto lost =
        static_cast<std::uint64_t>(std::ranges::count(told ? std::string_view(text) : lines, '\n'));
    dropped_ += lost;
    return told ? lost : lost + untold;
  }

  std::string missingLine(std::uint64_t untold) const {
    const std::string text =
        fmt::format("{} log lines were dropped: the log's target did not take them", untold);
    spdlog::memory_buf_t out;
    formatter_->format({"egalaxyd", spdlog::level::warn, text}, out);
    return {out.data(), out.size()};
  }

  /// Whether to go on trying to write. Not when stopping: then the lines in hand are dropped.
  bool mayWait() {
    if (!threaded_) return false;
    UniqueFd old;
    const MutexLock peek(linesMutex_);
    takeNext(old);
    return !stopping_;
  }

  /// Takes the new target, if there is one. The caller closes `old` without the mutex: that may
  /// take long.
  void takeNext(UniqueFd& old) EGALAXYD_REQUIRES(linesMutex_) {
    if (next_) old = std::exchange(fd_, std::move(next_));
  }

  /// Takes off the front of `lines` what the target took.
  Outcome write(std::string& lines) {
    const int patience = threaded_ ? 200 : 0;
    while (!lines.empty()) {
      pollfd ready{fd_.get(), POLLOUT, 0};
      if (::poll(&ready, 1, patience) == 0) return Outcome::kStuck;
      const ssize_t wrote = ::write(fd_.get(), lines.data(), pieceOf(lines));
      if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (wrote < 0) return Outcome::kFailed;  // disk full, reader gone
      lines.erase(0, static_cast<std::size_t>(wrote));
    }
    return Outcome::kDone;
  }

  /// A file takes all lines in one call. A writable pipe takes PIPE_BUF bytes without waiting, and
  /// unmixed with other processes' lines when the piece ends with one.
  std::size_t pieceOf(const std::string& lines) const {
    if (isLogFile(config_) || lines.size() <= PIPE_BUF) return lines.size();
    const std::size_t lastEnd = lines.rfind('\n', PIPE_BUF - 1);
    return lastEnd == std::string::npos ? PIPE_BUF : lastEnd + 1;
  }

  const LogConfig config_;
  UniqueFd fd_;  ///< the thread's, once there is one
  Mutex linesMutex_;
  Condition wake_;
  spdlog::memory_buf_t line_ EGALAXYD_GUARDED_BY(linesMutex_);
  std::string held_ EGALAXYD_GUARDED_BY(linesMutex_);
  UniqueFd next_ EGALAXYD_GUARDED_BY(linesMutex_);  ///< to become fd_
  /// Lines that were dropped since the log last said how many are missing.
  std::uint64_t untold_ EGALAXYD_GUARDED_BY(linesMutex_) = 0;
  bool stopping_ EGALAXYD_GUARDED_BY(linesMutex_) = false;
  std::atomic<std::uint64_t> dropped_{0};
  bool threaded_ = false;  ///< changes only while there is no thread
  std::thread thread_;
};

std::shared_ptr<LineSink> currentSink;
std::shared_ptr<spdlog::logger> accessLogger;
bool accessAsJson = false;

spdlog::level::level_enum levelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void useLog(const LogConfig& config, std::string_view name, UniqueFd target) {
  auto sink = std::make_shared<LineSink>(config, std::move(target));
  sink->set_formatter(std::make_unique<LineFormatter>(config.format, config.target == "journal",
                                                      std::string(name)));
  auto logger = std::make_shared<spdlog::logger>("egalaxyd", sink);
  logger->set_level(levelOf(config.level));
  accessLogger.reset();
  if (config.access) {
    accessLogger = std::make_shared<spdlog::logger>(std::string(kAccessLogger), sink);
  }
  accessAsJson = config.format == LogFormat::kJson;
  spdlog::set_default_logger(std::move(logger));
  currentSink = std::move(sink);
}

Result<void> openLog(const LogConfig& config, std::string_view name) {
  auto target = openLogTarget(config);
  if (!target) return target.error();
  useLog(config, name, std::move(*target));
  return {};
}

void setLogLevel(LogLevel level) { spdlog::default_logger()->set_level(levelOf(level)); }

void startLogWriter() {
  if (currentSink) currentSink->startThread();
}

void changeLogTarget(UniqueFd target) {
  if (currentSink) currentSink->changeTarget(std::move(target));
}

void closeLog() {
  if (currentSink) currentSink->stopThread();
  accessLogger.reset();
}

std::uint64_t takeDroppedLogLines() { return currentSink ? currentSink->takeDropped() : 0; }

std::string logQuote(std::string_view text) {
  spdlog::memory_buf_t out;
  appendQuoted(out, text, false);
  return fmt::to_string(out);
}

void logAccess(const AccessRecord& record) {
  if (!accessLogger) return;
  spdlog::memory_buf_t out;
  const auto to = fmt::appender(out);
  const bool json = accessAsJson;
  const double spent = std::chrono::duration<double, std::milli>(record.duration).count();
  const std::string_view user = record.user.empty() ? "-" : record.user;
  fmt::format_to(to, fmt::runtime(json ? R"("protocol":"{}","status":{},"url":")" : R"({} {} ")"),
                 record.protocol, record.status);
  appendQuoted(out, record.url, json);
  out.append(std::string_view(json ? R"(","meta":")" : R"(" ")"));
  appendQuoted(out, record.meta, json);
  fmt::format_to(
      to,
      fmt::runtime(json ? R"(","bytes":{},"ms":{:.3f},"client":"{}","user":"{}","ended":"{}")"
                        : R"(" {}B {:.3f}ms {} user={} ended="{}")"),
      record.bytes, spent, record.client, user, record.ended);
  accessLogger->log(spdlog::level::info, std::string_view(out.data(), out.size()));
}

void logMoreRefusals(std::uint64_t count, std::string_view client) {
  if (!accessLogger) return;
  accessLogger->log(spdlog::level::info,
                    accessAsJson ? fmt::format(R"("more_refused":{},"client":"{}")", count, client)
                                 : fmt::format("{} more refused from {}", count, client));
}

}  // namespace egalaxyd
