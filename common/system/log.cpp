#include "common/system/log.h"

#include <fcntl.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/system/log_writer.h"

namespace egalaxyd {
namespace {

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

/// How the lines of one place look.
struct LineStyle {
  LogFormat format;
  bool journal;         ///< journald knows the time and the process
  std::string process;  ///< "worker 0"
};

/// What comes before the text of a line, or before the fields of its JSON object.
void beginLine(spdlog::memory_buf_t& out, const LineStyle& style, spdlog::level::level_enum level,
               spdlog::log_clock::time_point time) {
  const auto to = fmt::appender(out);
  if (style.journal) fmt::format_to(to, "<{}>", priorityOf(level));
  if (style.format == LogFormat::kJson) {
    fmt::format_to(to, R"({{"time":")");
    appendTime(out, time);
    fmt::format_to(to, R"(","level":"{}","process":"{}",)", nameOf(level), style.process);
  } else if (!style.journal) {
    appendTime(out, time);
    fmt::format_to(to, " {:5} {}: ", nameOf(level), style.process);
  }
}

/// Messages have no form in the combined format: they are text there.
void appendMessage(spdlog::memory_buf_t& out, const LineStyle& style,
                   const spdlog::details::log_msg& message) {
  const std::string_view payload(message.payload.data(), message.payload.size());
  beginLine(out, style, message.level, message.time);
  if (style.format == LogFormat::kJson) {
    fmt::format_to(fmt::appender(out), R"("message":")");
    appendQuoted(out, payload, true);
    fmt::format_to(fmt::appender(out), "\"}}\n");
    return;
  }
  for (const char c : payload) out.push_back(c == '\n' ? ' ' : c);
  out.push_back('\n');
}

/// "22/Nov/2026:19:06:01 +0000". Its months are English whatever the locale.
void appendCombinedTime(spdlog::memory_buf_t& out, spdlog::log_clock::time_point time) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = spdlog::log_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  fmt::format_to(fmt::appender(out), "{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000", utc.tm_mday,
                 kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                 utc.tm_min, utc.tm_sec);
}

/// "0123456789abcdef@ann", either half of it, or "-".
std::string userInText(const AccessRecord& record) {
  std::string text(record.user);
  if (!record.name.empty()) text.append("@").append(record.name);
  return text.empty() ? "-" : text;
}

/// Apache's: there is neither referer nor user agent in these protocols.
void appendCombined(spdlog::memory_buf_t& out, const LineStyle& style, const AccessRecord& record) {
  const auto to = fmt::appender(out);
  if (style.journal) fmt::format_to(to, "<{}>", priorityOf(spdlog::level::info));
  fmt::format_to(to, "{} - {} [", record.client.empty() ? "-" : record.client, userInText(record));
  appendCombinedTime(out, spdlog::log_clock::now());
  out.append(std::string_view("] \""));
  appendQuoted(out, record.url.empty() ? "-" : record.url, false);
  if (record.status == 0) {
    fmt::format_to(to, "\" - {} \"-\" \"-\"\n", record.bytes);
  } else {
    fmt::format_to(to, "\" {} {} \"-\" \"-\"\n", record.status, record.bytes);
  }
}

void appendFields(spdlog::memory_buf_t& out, const AccessRecord& record, bool json) {
  const auto to = fmt::appender(out);
  const double spent = std::chrono::duration<double, std::milli>(record.duration).count();
  fmt::format_to(to, fmt::runtime(json ? R"("protocol":"{}","status":{},"url":")" : R"({} {} ")"),
                 record.protocol, record.status);
  appendQuoted(out, record.url, json);
  out.append(std::string_view(json ? R"(","meta":")" : R"(" ")"));
  appendQuoted(out, record.meta, json);
  if (json) {
    fmt::format_to(to, R"(","bytes":{},"ms":{:.3f},"client":"{}","user":"{}",)", record.bytes,
                   spent, record.client, record.user.empty() ? "-" : record.user);
    if (!record.name.empty()) fmt::format_to(to, R"("name":"{}",)", record.name);
    fmt::format_to(to, R"("ended":"{}")", record.ended);
  } else {
    fmt::format_to(to, R"(" {}B {:.3f}ms {} user={} ended="{}")", record.bytes, spent,
                   record.client, userInText(record), record.ended);
  }
}

}  // namespace

Result<UniqueFd> openLogTarget(const std::string& target) {
  if (target == "stderr") {
    const int fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) return errnoError("log to stderr", errno);
    return UniqueFd(fd);
  }
  if (target == "journal") {
    const int fd = ::sd_journal_stream_fd("egalaxyd", 6, 1);
    if (fd < 0) return errnoError("log to the journal", -fd);
    return UniqueFd(fd);
  }
  UniqueFd fd(::open(target.c_str(),
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK,
                     0640));
  const int why = errno;
  struct stat info {};
  const bool known = fd ? ::fstat(fd.get(), &info) == 0 : ::lstat(target.c_str(), &info) == 0;
  if (known && !(fd && S_ISCHR(info.st_mode))) {
    if (const auto suitable = isFileOfOneName(info); !suitable) {
      return Error{ErrorCode::kInvalid, "the log " + target + ": " + suitable.error().message};
    }
  }
  if (!fd) return errnoError("open the log " + target, why);
  return fd;
}

namespace {

std::function<void(std::int64_t, bool, std::string_view)> faultListener;

/// Brings spdlog's messages to the first place of the log.
class MessageSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  MessageSink(std::shared_ptr<LogWriter> writer, LineStyle style)
      : writer_(std::move(writer)), style_(std::move(style)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    appendMessage(line, style_, message);
    if (message.level >= spdlog::level::warn && faultListener) {
      faultListener(spdlog::log_clock::to_time_t(message.time), message.level >= spdlog::level::err,
                    {message.payload.data(), message.payload.size()});
    }
    writer_->write(0, {line.data(), line.size()});
  }
  void flush_() override {}

  const std::shared_ptr<LogWriter> writer_;
  const LineStyle style_;
};

/// How access lines are written.
struct AccessLog {
  std::vector<LineStyle> styles;  ///< of each place
  std::size_t place = 0;          ///< of requests of no site
};

std::shared_ptr<LogWriter> currentWriter;
std::optional<AccessLog> accessLog;

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

namespace {

/// The text of LogWriter::Place::missing.
std::string missingLine(const LineStyle& style, std::uint64_t count) {
  const std::string text =
      fmt::format("{} log lines were dropped: the log's target did not take them", count);
  spdlog::memory_buf_t out;
  appendMessage(out, style, {"egalaxyd", spdlog::level::warn, text});
  return {out.data(), out.size()};
}

void useLog(const LogConfig& config, const std::vector<LogPlace>& places, std::size_t access,
            std::string_view name, std::vector<UniqueFd> targets) {
  std::vector<LineStyle> styles;
  std::vector<LogWriter::Place> opened;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::string& target = places[i].target;
    styles.push_back({config.format, target == "journal", std::string(name)});
    opened.push_back(
        {std::move(targets.at(i)), isLogFile(target),
         [style = styles.back()](std::uint64_t count) { return missingLine(style, count); }});
  }
  currentWriter = std::make_shared<LogWriter>(std::move(opened));
  auto sink = std::make_shared<MessageSink>(currentWriter, styles.front());
  auto logger = std::make_shared<spdlog::logger>("egalaxyd", std::move(sink));
  logger->set_level(levelOf(config.level));
  spdlog::set_default_logger(std::move(logger));
  accessLog.reset();
  if (config.access) accessLog = AccessLog{std::move(styles), access};
}

}  // namespace

void useLog(const LogConfig& config, std::string_view name, UniqueFd target) {
  std::vector<UniqueFd> targets;
  targets.push_back(std::move(target));
  useLog(config, {{config.target, ""}}, 0, name, std::move(targets));
}

void useLogs(const Config& config, std::string_view name, std::vector<UniqueFd> targets) {
  const std::vector<LogPlace> places = logPlaces(config);
  useLog(config.log, places, accessPlace(config, places), name, std::move(targets));
}

Result<void> openLog(const LogConfig& config, std::string_view name) {
  auto target = openLogTarget(config.target);
  if (!target) return target.error();
  useLog(config, name, std::move(*target));
  return {};
}

void setLogLevel(LogLevel level) { spdlog::default_logger()->set_level(levelOf(level)); }

void startLogWriter() {
  if (currentWriter) currentWriter->startThread();
}

void changeLogTarget(std::size_t place, UniqueFd target) {
  if (currentWriter) currentWriter->change(place, std::move(target));
}

void closeLog() {
  if (currentWriter) currentWriter->stopThread();
  accessLog.reset();
}

void reportFaults(std::function<void(std::int64_t, bool, std::string_view)> tell) {
  faultListener = std::move(tell);
}

std::uint64_t takeDroppedLogLines() { return currentWriter ? currentWriter->takeDropped() : 0; }

std::string logQuote(std::string_view text) {
  spdlog::memory_buf_t out;
  appendQuoted(out, text, false);
  return fmt::to_string(out);
}

void logAccess(const AccessRecord& record, std::optional<std::size_t> place) {
  if (!accessLog) return;
  const std::size_t at = place.value_or(accessLog->place);
  const LineStyle& style = accessLog->styles.at(at);
  spdlog::memory_buf_t line;
  if (style.format == LogFormat::kCombined) {
    appendCombined(line, style, record);
  } else {
    const bool json = style.format == LogFormat::kJson;
    beginLine(line, style, spdlog::level::info, spdlog::log_clock::now());
    appendFields(line, record, json);
    line.append(std::string_view(json ? "}\n" : "\n"));
  }
  currentWriter->write(at, {line.data(), line.size()});
}

void logMoreRefusals(std::uint64_t count, std::string_view client) {
  if (!accessLog) return;
  const LineStyle& style = accessLog->styles.at(accessLog->place);
  if (style.format == LogFormat::kCombined) {
    return spdlog::info("{} more refused from {}", count, client);
  }
  spdlog::memory_buf_t line;
  const auto to = fmt::appender(line);
  beginLine(line, style, spdlog::level::info, spdlog::log_clock::now());
  if (style.format == LogFormat::kJson) {
    fmt::format_to(to, "\"more_refused\":{},\"client\":\"{}\"}}\n", count, client);
  } else {
    fmt::format_to(to, "{} more refused from {}\n", count, client);
  }
  currentWriter->write(accessLog->place, {line.data(), line.size()});
}

}  // namespace egalaxyd
