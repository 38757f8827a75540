#include "common/wire/metrics_text.h"

#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <functional>
#include <iterator>
#include <utility>

#include "common/base/path.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

template <class... Values>
void put(std::string& out, fmt::format_string<Values...> form, Values&&... values) {
  fmt::format_to(std::back_inserter(out), form, std::forward<Values>(values)...);
}

std::uint64_t number(const Object& object, const std::string& name) {
  return object.getValue<std::uint64_t>(name);
}

/// Every protocol's `member` object, e.g. what "answers" holds of "gemini".
void forEachProtocol(
    const Object& answer, const std::string& member,
    const std::function<void(const std::string& protocol, const Object& values)>& visit) {
  const auto protocols = answer.getObject(member);
  for (const std::string& protocol : protocols->getNames()) {
    visit(protocol, *protocols->getObject(protocol));
  }
}

void metric(std::string& out, const std::string& name, const char* type, const char* help) {
  put(out, "# HELP egalaxyd_{0} {2}\n# TYPE egalaxyd_{0} {1}\n", name, type, help);
}

}  // namespace

std::string metricsText(const Object& answer) {
  std::string out;
  const auto totals = answer.getObject("totals");
  for (const std::string& name : totals->getNames()) {
    metric(out, name + "_total", "counter", "See egalaxyctl stats.");
    put(out, "egalaxyd_{}_total {}\n", name, number(*totals, name));
  }
  metric(out, "open_connections", "gauge", "Connections that are open now.");
  put(out, "egalaxyd_open_connections {}\n", answer.getValue<std::int64_t>("open"));
  metric(out, "generation", "gauge", "Generation that serves; each reload makes one.");
  put(out, "egalaxyd_generation {}\n", number(answer, "generation"));
  metric(out, "answers_total", "counter", "Requests answered, by protocol and status.");
  forEachProtocol(answer, "answers", [&](const std::string& protocol, const Object& statuses) {
    for (const std::string& status : statuses.getNames()) {
      put(out, "egalaxyd_answers_total{{protocol=\"{}\",status=\"{}\"}} {}\n", protocol, status,
          number(statuses, status));
    }
  });
  metric(out, "latency_seconds", "summary", "How long requests took, by protocol and stretch.");
  forEachProtocol(answer, "latencies", [&](const std::string& protocol, const Object& spans) {
    for (const std::string& span : spans.getNames()) {
      const auto values = spans.getObject(span);
      const std::string labels = fmt::format("protocol=\"{}\",span=\"{}\"", protocol, span);
      const std::pair<const char*, const char*> quantiles[] = {
          {"0.5", "p50"}, {"0.9", "p90"}, {"0.99", "p99"}, {"0.999", "p999"}};
      for (const auto& [quantile, member] : quantiles) {
        put(out, "egalaxyd_latency_seconds{{{},quantile=\"{}\"}} {}\n", labels, quantile,
            values->getValue<double>(member));
      }
      put(out, "egalaxyd_latency_seconds_sum{{{}}} {}\n", labels, values->getValue<double>("sum"));
      put(out, "egalaxyd_latency_seconds_count{{{}}} {}\n", labels, number(*values, "count"));
    }
  });
  metric(out, "certificate_not_after_timestamp_seconds", "gauge",
         "When the certificate of a host ends, in Unix time.");
  for (const auto& each : *answer.getArray("certificate_ends")) {
    const auto& row = each.extract<Object::Ptr>();
    put(out, "egalaxyd_certificate_not_after_timestamp_seconds{{host=\"{}\"}} {}\n",
        printable(row->getValue<std::string>("host")), row->getValue<std::int64_t>("not_after"));
  }
  metric(out, "worker_memory_bytes", "gauge", "Proportional set size of a worker.");
  for (const auto& each : *answer.getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    if (!worker->has("pss_kib")) continue;
    put(out,
        "egalaxyd_worker_memory_bytes{{generation=\"{}\",worker=\"{}\",pid=\"{}\"}} "
        "{}\n",
        number(*worker, "generation"), number(*worker, "slot"), number(*worker, "pid"),
        number(*worker, "pss_kib") * 1024);
  }
  return out;
}

}  // namespace egalaxyd
