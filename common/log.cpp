#include "common/log.h"

#include <fcntl.h>
#include <poll.h>
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
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "common/errno_error.h"
#include "common/path.h"
#include "common/unique_fd.h"

namespace egalaxyd {
namespace {

/// Held back for a slow target at most; lines beyond are dropped and counted.
constexpr std::size_t kMaxHeldBytes = 256 * 1024;
/// How long the writer thread gathers lines before it writes them in one call.
constexpr auto kGather = std::chrono::milliseconds(50);
/// Messages of this logger hold ready-made fields instead of a text.
constexpr std::string_view kAccessLogger = "access";

/// Printable UTF-8 passes as it is, every other byte is escaped as text or JSON writes it.
void appendQuoted(spdlog::memory_buf_t& out, std::string_view text, bool json) {
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const std::size_t length = printableLength(text);
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

Result<UniqueFd> openTarget(const LogConfig& config) {
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
  const int fd =
      ::open(config.target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) return errnoError("open the log " + config.target, errno);
  return UniqueFd(fd);
}

/// Whole lines to a descriptor, written where they stand or by a thread of the sink's own.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LineSink(LogConfig config, UniqueFd fd) : config_(std::move(config)), fd_(std::move(fd)) {}
  ~LineSink() override { stopThread(); }

  void startThread() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { runThread(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stopThread() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  Result<void> reopen() {
    if (!isFile()) return {};
    auto opened = openTarget(config_);
    if (!opened) return opened.error();
    const std::lock_guard lock(fdMutex_);
    fd_ = std::move(*opened);
    return {};
  }

  Result<void> giveTo(uid_t uid, gid_t gid) {
    struct stat info {};
    if (!isFile() || ::fstat(fd_.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    if (::fchown(fd_.get(), uid, gid) != 0) return errnoError("chown " + config_.target, errno);
    return {};
  }

  std::uint64_t takeDropped() { return dropped_.exchange(0); }

 private:
  // base_sink's mutex_ is held here.
  void sink_it_(const spdlog::details::log_msg& message) override {
    line_.clear();
    formatter_->format(message, line_);
    if (!thread_.joinable()) {
      std::string line(line_.data(), line_.size());
      if (!write(line, 0)) ++dropped_;
      return;
    }
    if (held_.size() + line_.size() > kMaxHeldBytes) {
      ++dropped_;
      return;
    }
    const bool wasEmpty = held_.empty();
    held_.append(line_.data(), line_.size());
    if (wasEmpty) wake_.notify_one();
  }

  void flush_() override {}

  void runThread() {
    std::string lines;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopping_ || !held_.empty(); });
      if (!stopping_) wake_.wait_for(lock, kGather, [this] { return stopping_; });
      lines.swap(held_);
      const bool last = stopping_;
      lock.unlock();
      while (!write(lines, 200)) {
        // The target takes nothing: later lines are dropped meanwhile, and on the way out these
        // are.
        const std::lock_guard peek(mutex_);
        if (stopping_) break;
      }
      lines.clear();
      lock.lock();
      if (last && held_.empty()) return;
    }
  }

  /// Writes `lines` and empties it. False when the target took nothing for `patience`
  /// milliseconds: what it took before that is gone from `lines`.
  bool write(std::string& lines, int patience) {
    const std::lock_guard lock(fdMutex_);
    while (!lines.empty()) {
      pollfd ready{fd_.get(), POLLOUT, 0};
      if (::poll(&ready, 1, patience) == 0) return false;
      const ssize_t wrote = ::write(fd_.get(), lines.data(), pieceOf(lines));
      if (wrote < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (wrote < 0) {  // disk full, reader gone: nothing that waiting would mend
        dropped_ += static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
        lines.clear();
        return true;
      }
      lines.erase(0, static_cast<std::size_t>(wrote));
    }
    return true;
  }

  /// A file takes all lines in one call. A writable pipe takes PIPE_BUF bytes without waiting, and
  /// unmixed with other processes' lines when the piece ends with one.
  std::size_t pieceOf(const std::string& lines) const {
    if (isFile() || lines.size() <= PIPE_BUF) return lines.size();
    const std::size_t lastEnd = lines.rfind('\n', PIPE_BUF - 1);
    return lastEnd == std::string::npos ? PIPE_BUF : lastEnd + 1;
  }

  bool isFile() const { return config_.target != "stderr" && config_.target != "journal"; }

  const LogConfig config_;
  std::mutex fdMutex_;  ///< taken last
  UniqueFd fd_;         ///< guarded by fdMutex_
  spdlog::memory_buf_t line_;
  std::condition_variable wake_;
  std::string held_;       ///< guarded by base_sink's mutex_
  bool stopping_ = false;  ///< guarded by base_sink's mutex_
  std::atomic<std::uint64_t> dropped_{0};
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

Result<void> openLog(const LogConfig& config, std::string_view name) {
  auto target = openTarget(config);
  if (!target) return target.error();
  auto sink = std::make_shared<LineSink>(config, std::move(*target));
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
  return {};
}

void setLogLevel(LogLevel level) { spdlog::default_logger()->set_level(levelOf(level)); }

void startLogWriter() {
  if (currentSink) currentSink->startThread();
}

Result<void> reopenLog() { return currentSink ? currentSink->reopen() : Result<void>(); }

Result<void> giveLogFileTo(uid_t uid, gid_t gid) {
  return currentSink ? currentSink->giveTo(uid, gid) : Result<void>();
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

}  // namespace egalaxyd
