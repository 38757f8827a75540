#include "common/config/config_loader.h"

#include <utility>

#include "common/base/regular_file.h"
#include "common/config/config_reading.h"
#include "common/config/config_schema.h"
#include "common/config/config_sources.h"
#include "common/config/log_places.h"
#include "common/config/table_reader.h"

namespace egalaxyd {
namespace {

using std::filesystem::path;

/// What the tables say, once all of them are there.
void readTables(Reading& reading, const toml::table& whole) {
  TableReader reader(reading, whole, "");
  describe(reader, reading.config);
  reader.complainOfUnknown();
  Config& config = reading.config;
  if (!config.router.module.empty()) reading.resolve(config.router.module, "router.module");
  if (!config.rateLimit.module.empty()) {
    reading.resolve(config.rateLimit.module, "rate_limit.module");
  }
  if (isLogFile(config.log.target)) reading.resolve(config.log.target, "log.target");
  if (isLogFile(config.log.accessTarget)) {
    reading.resolve(config.log.accessTarget, "log.access_target");
  }
}

}  // namespace

LoadedConfig parseConfig(std::string_view toml, const path& file) {
  Reading reading(file);
  if (const auto whole = readSources(toml, reading)) readTables(reading, *whole);
  return {std::move(reading.config), inOrder(std::move(reading.complaints), reading.guessed)};
}

LoadedConfig loadConfig(const path& file) {
  const auto text = readRegularFile(file, kMaxConfigBytes);
  if (text) return parseConfig(*text, file);
  LoadedConfig failed;
  failed.config.file = file;
  failed.complaints.push_back(complaintOf(file.string(), text.error()));
  return failed;
}

std::optional<ListenAddress> parseListenAddress(std::string_view text) {
  return forms::listenAddress().read(std::string(text));
}

std::optional<LogLevel> parseLogLevel(std::string_view text) {
  return forms::logLevel().read(std::string(text));
}

std::optional<std::string> parseSiteHost(std::string_view text) {
  return forms::host().read(std::string(text));
}

}  // namespace egalaxyd
