#include "master/status/status_board.h"

#include <Poco/JSON/Array.h>
#include <Poco/JSON/ParseHandler.h>
#include <Poco/JSON/Parser.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "common/base/poco_seam.h"
#include "common/wire/metrics_text.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

/// Figures that are older say nothing about now.
constexpr auto kStale = std::chrono::seconds(15);

std::uint64_t total(const Object& statistics, const char* name) {
  return statistics.getObject("totals")->getValue<std::uint64_t>(name);
}

std::uint64_t memoryOf(const Object& statistics) {
  std::uint64_t sum = statistics.optValue<std::uint64_t>("master_pss_kib", 0);
  for (const auto& each : *statistics.getArray("workers")) {
    sum += each.extract<Object::Ptr>()->optValue<std::uint64_t>("pss_kib", 0);
  }
  return sum;
}

/// Answers 40 to 43 and 5 of Spartan: what the operator may want to look at.
std::uint64_t failuresIn(const Object& statistics) {
  std::uint64_t sum = 0;
  const auto answers = statistics.getObject("answers");
  for (const std::string& protocol : answers->getNames()) {
    const auto statuses = answers->getObject(protocol);
    for (const char* status : {"40", "41", "42", "43", "5"}) {
      sum += statuses->optValue<std::uint64_t>(status, 0);
    }
  }
  return sum;
}

std::string troubleIn(const Object& status) {
  const auto state = status.getValue<std::string>("state");
  if (state != "serving") return "The server is " + state + ".";
  const auto generation = status.getValue<std::uint64_t>("generation");
  for (const auto& each : *status.getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    if (worker->getValue<std::uint64_t>("generation") == generation &&
        worker->getValue<std::string>("state") == "ready") {
      return "";
    }
  }
  return "No worker is ready.";
}

}  // namespace

Result<StatusFigures> readFigures(const std::string& json, StatusSample& sample) {
  return guarded("read the figures", [&] {
    Poco::JSON::Parser parser(new Poco::JSON::ParseHandler(true));  // members keep their order
    const auto all = parser.parse(json).extract<Object::Ptr>();
    const Object& statistics = *all->getObject("statistics");
    sample.requests = total(statistics, "requests");
    sample.failed = failuresIn(statistics);
    sample.rateLimited = total(statistics, "rate_limited");
    sample.bytesOut = total(statistics, "bytes_out");
    sample.uploads = total(statistics, "uploads_stored");
    sample.open = statistics.getValue<std::int64_t>("open");
    sample.memoryKib = memoryOf(statistics);
    return StatusFigures{json, metricsText(statistics), troubleIn(*all->getObject("status"))};
  });
}

void StatusBoard::put(StatusFigures figures, const StatusSample& sample,
                      std::uint64_t ownMemoryKib) {
  auto fresh = std::make_shared<const StatusFigures>(std::move(figures));
  const MutexLock lock(mutex_);
  figures_.swap(fresh);
  history_.add(sample);
  put_ = Clock::now();
  ownMemoryKib_ = ownMemoryKib;
}

std::string StatusBoard::metrics() const {
  const MutexLock lock(mutex_);
  return figures_ ? figures_->metrics : std::string();
}

std::string StatusBoard::json(std::uint64_t since) const {
  const MutexLock lock(mutex_);
  const double age = std::chrono::duration<double>(Clock::now() - put_).count();
  return fmt::format(
      R"({{"page":{{"pid":{},"pss_kib":{},"age":{:.3f}}},"figures":{},"columns":{},"history":{}}})"
      "\n",
      ::getpid(), ownMemoryKib_, figures_ ? age : 0, figures_ ? figures_->json : "null",
      StatusHistory::kColumns, history_.json(since));
}

std::string StatusBoard::trouble() const {
  const MutexLock lock(mutex_);
  if (!figures_) return "The server has not told yet how it is.";
  if (Clock::now() - put_ > kStale) return "The server does not tell any more how it is.";
  return figures_->trouble;
}

}  // namespace egalaxyd
