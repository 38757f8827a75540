#include "master/supervise/rehearsal.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <utility>

#include "master/supervise/check.h"
#include "master/supervise/generation.h"

namespace egalaxyd {
namespace {

/// Most complaints, and most log lines, that are passed on.
constexpr std::size_t kMostTold = 1000;

/// "5:hello" for each.
void put(std::string& out, std::initializer_list<std::string_view> fields) {
  for (const std::string_view field : fields) {
    out += std::to_string(field.size()) + ":";
    out += field;
  }
}

std::optional<std::string> take(std::string_view& text) {
  std::size_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || digits >= text.size() || text[digits] != ':') return std::nullopt;
  text.remove_prefix(digits + 1);
  if (size > text.size()) return std::nullopt;
  std::string field(text.substr(0, size));
  text.remove_prefix(size);
  return field;
}

/// Everything that is logged while it lives.
class LogCatcher {
 public:
  LogCatcher() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_st>(lines_);
    auto logger = std::make_shared<spdlog::logger>("rehearsal", std::move(sink));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(std::move(logger));
  }

  ~LogCatcher() { spdlog::set_default_logger(before_); }
  LogCatcher(const LogCatcher&) = delete;
  LogCatcher& operator=(const LogCatcher&) = delete;

  std::vector<Rehearsal::LogLine> take() {
    std::vector<Rehearsal::LogLine> taken;
    for (std::string line; std::getline(lines_, line);) {
      const std::size_t space = std::min(line.find(' '), line.size() - 1);
      if (taken.size() < kMostTold)
        taken.push_back({line.substr(0, space), line.substr(space + 1)});
    }
    return taken;
  }

 private:
  const std::shared_ptr<spdlog::logger> before_;
  std::stringstream lines_;
};

}  // namespace

std::string Rehearsal::encode() const {
  std::string text;
  for (const Complaint& complaint : complaints) {
    put(text, {"complaint", complaint.where, complaint.text, complaint.mayPass ? "1" : ""});
  }
  for (const auto& [name, address] : names) put(text, {"name", name, address, ""});
  if (!storageTrouble.empty()) put(text, {"storage", storageTrouble, "", ""});
  if (!databaseUrl.empty()) put(text, {"database", databaseUrl, databaseIsReady ? "1" : "", ""});
  for (const LogLine& line : log) put(text, {"log", line.level, line.text, ""});
  return text;
}

Result<Rehearsal> Rehearsal::decode(std::string_view text) {
  Rehearsal rehearsal;
  while (!text.empty()) {
    const auto kind = take(text);
    auto first = kind ? take(text) : std::nullopt;
    auto second = first ? take(text) : std::nullopt;
    const auto third = second ? take(text) : std::nullopt;
    if (!third) return Error{ErrorCode::kInvalid, "the process that read it wrote nonsense"};
    if (*kind == "complaint") {
      rehearsal.complaints.push_back({std::move(*first), std::move(*second), !third->empty()});
    } else if (*kind == "name") {
      rehearsal.names.emplace(std::move(*first), std::move(*second));
    } else if (*kind == "storage") {
      rehearsal.storageTrouble = std::move(*first);
    } else if (*kind == "database") {
      rehearsal.databaseUrl = std::move(*first);
      rehearsal.databaseIsReady = !second->empty();
    } else {
      rehearsal.log.push_back({std::move(*first), std::move(*second)});
    }
  }
  return rehearsal;
}

Rehearsal rehearse(const std::function<LoadedConfig()>& load, const ListenerSet& previous,
                   const ServingPlan* kept) {
  Rehearsal rehearsal;
  LogCatcher log;
  LoadedConfig loaded = load();
  if (loaded.complaints.empty()) {
    const auto generation = prepareGeneration(loaded.config, rehearsal.complaints, true, kept);
    if (rehearsal.complaints.empty()) {
      prepareStorage(*generation);
      rehearsal.storageTrouble = generation->storageTrouble;
      rehearsal.databaseIsReady = generation->databaseIsReady;
      rehearsal.databaseUrl = generation->config.storage.url;
      rehearsal.names = resolveNames(loaded.config.listen, previous, loaded.config.status.listen);
    }
  } else {
    Findings found = checkEverything(std::move(loaded), std::nullopt);
    rehearsal.complaints = std::move(found.complaints);
    logWarnings(found.warnings);
  }
  if (rehearsal.complaints.size() > kMostTold) rehearsal.complaints.resize(kMostTold);
  rehearsal.log = log.take();
  return rehearsal;
}

}  // namespace egalaxyd
