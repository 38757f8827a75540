#include "worker/module/info_site.h"

#include <Poco/Version.h>
#include <openssl/crypto.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "common/base/units.h"
#include "common/base/version.h"
#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "common/storage/sqlite_storage.h"
#include "common/wire/machine_name.h"
#include "worker/module/spy_site.h"

namespace egalaxyd {
namespace {

constexpr auto kCounters = std::to_array<std::pair<std::string_view, Counter>>(
    {{"connections", Counter::kConnections},
     {"connections refused", Counter::kConnectionsRefused},
     {"connections denied", Counter::kConnectionsDenied},
     {"handshakes", Counter::kHandshakes},
     {"handshakes failed", Counter::kHandshakesFailed},
     {"requests", Counter::kRequests},
     {"requests rate-limited", Counter::kRateLimited},
     {"timeouts", Counter::kTimeouts},
     {"bytes in", Counter::kBytesIn},
     {"bytes out", Counter::kBytesOut},
     {"answers 1x", Counter::kStatus1x},
     {"answers 2x", Counter::kStatus2x},
     {"answers 3x", Counter::kStatus3x},
     {"answers 4x", Counter::kStatus4x},
     {"answers 5x", Counter::kStatus5x},
     {"answers 6x", Counter::kStatus6x},
     {"log lines dropped", Counter::kLogLinesDropped}});

std::string compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string pocoVersion() {
  constexpr unsigned kVersionBits = POCO_VERSION;
  return fmt::format("{}.{}.{}", kVersionBits >> 24, kVersionBits >> 16 & 255,
                     kVersionBits >> 8 & 255);
}

std::string block(std::string_view title, std::string_view lines) {
  return fmt::format("\n## {}\n\n```{}\n{}```\n", title, title, lines);
}

std::string fixedPart() {
  const std::string program = factLine("version", kVersion) + factLine("host", machineName());
  const std::string build = factLine("compiler", compiler()) + factLine("POCO", pocoVersion()) +
                            factLine("OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)) +
                            factLine("SQLite", sqliteVersion());
  return "# egalaxyd\n" + block("Program", program) + block("Build", build);
}

std::string uptime(const ServerInfo& info) {
  const auto age = std::chrono::system_clock::now() - info.workerStarted;
  const auto seconds =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(age).count());
  return fmt::format("{} d {:02}:{:02}:{:02}", seconds / 86'400, seconds / 3'600 % 24,
                     seconds / 60 % 60, seconds % 60);
}

std::string workerPart(const ServerInfo& info) {
  return block("Worker",
               factLine("worker", fmt::format("{} of {}", info.worker + 1, info.workers)) +
                   factLine("generation", std::to_string(info.generation)) +
                   factLine("uptime", uptime(info)));
}

std::string limitsPart(const LimitsConfig& limits) {
  return block(
      "Limits",
      factLine("connections", std::to_string(limits.connections)) +
          factLine("connections per address",
                   limits.connectionsPerIp == 0 ? "off" : std::to_string(limits.connectionsPerIp)) +
          factLine("handshake timeout", durationText(limits.handshakeTimeout)) +
          factLine("request timeout", durationText(limits.requestTimeout)) +
          factLine("upload timeout", durationText(limits.uploadTimeout)) +
          factLine("upload rate at least", sizeText(limits.uploadMinRate) + "/s") +
          factLine("write timeout", durationText(limits.writeTimeout)) +
          factLine("download rate at least",
                   limits.downloadMinRate ? sizeText(*limits.downloadMinRate) + "/s" : "off"));
}

std::string totalsPart(const SharedState& shared) {
  std::string lines =
      factLine("open connections", std::to_string(shared.total(Gauge::kOpenConnections)));
  for (const auto& [name, counter] : kCounters) {
    lines += factLine(name, std::to_string(shared.total(counter)));
  }
  return block("All workers since the start", lines);
}

}  // namespace

InfoSite::InfoSite() : fixed_(fixedPart()) {}

void InfoSite::handle(Request, Responder reply, Services& services) {
  const ServerInfo& info = services.info;
  std::move(reply).send(Response::gemtext(fixed_ + workerPart(info) + limitsPart(info.limits) +
                                          totalsPart(info.shared)));
}

}  // namespace egalaxyd
