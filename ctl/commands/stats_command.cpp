// Totals and latencies: for people, for programs, for Prometheus.
#include <Poco/JSON/Array.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <functional>
#include <ostream>

#include "common/base/units.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/base/table.h"
#include "ctl/control/control_client.h"

namespace egalaxyd::ctl {
namespace {

using Poco::JSON::Object;

constexpr int kExitRefused = 1;

std::uint64_t number(const Object& object, const std::string& name) {
  return object.getValue<std::uint64_t>(name);
}

double seconds(const Object& object, const std::string& name) {
  return object.getValue<double>(name);
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

void printTotals(std::ostream& out, const Object& answer, bool colour) {
  const auto totals = answer.getObject("totals");
  std::vector<std::string> head{"", "total"};
  std::vector<Object::Ptr> workers;
  for (const auto& each : *answer.getArray("workers")) {
    workers.push_back(each.extract<Object::Ptr>());
    head.push_back(fmt::format("{}/{}", number(*workers.back(), "generation"),
                               number(*workers.back(), "slot")));
  }
  Table table(head);
  std::vector<std::string> open{"open", std::to_string(answer.getValue<std::int64_t>("open"))};
  for (const auto& worker : workers) {
    open.push_back(std::to_string(worker->getValue<std::int64_t>("open")));
  }
  table.add(open);
  for (const std::string& name : totals->getNames()) {
    std::vector<std::string> row{name, std::to_string(number(*totals, name))};
    for (const auto& worker : workers) {
      row.push_back(std::to_string(number(*worker->getObject("totals"), name)));
    }
    table.add(row);
  }
  std::uint64_t sum = answer.optValue<std::uint64_t>("master_pss_kib", 0);
  std::vector<std::string> memory{"memory KiB", ""};
  for (const auto& worker : workers) {
    sum += worker->optValue<std::uint64_t>("pss_kib", 0);
    memory.push_back(worker->has("pss_kib") ? std::to_string(number(*worker, "pss_kib")) : "-");
  }
  memory[1] = std::to_string(sum);
  table.add(memory);
  table.print(out, colour);
}

void printAnswers(std::ostream& out, const Object& answer, bool colour) {
  forEachProtocol(answer, "answers", [&](const std::string& protocol, const Object& statuses) {
    if (statuses.size() == 0) return;
    out << '\n' << boldText(protocol + " answers:", colour);
    for (const std::string& status : statuses.getNames()) {
      out << fmt::format("  {} x {}", status, number(statuses, status));
    }
    out << '\n';
  });
}

void printLatencies(std::ostream& out, const Object& answer, bool colour) {
  Table table({"milliseconds", "", "count", "p50", "p90", "p99", "p99.9"});
  bool any = false;
  forEachProtocol(answer, "latencies", [&](const std::string& protocol, const Object& spans) {
    for (const std::string& span : spans.getNames()) {
      const auto values = spans.getObject(span);
      std::vector<std::string> row{protocol, span, std::to_string(number(*values, "count"))};
      for (const char* quantile : {"p50", "p90", "p99", "p999"}) {
        row.push_back(fmt::format("{:.3f}", seconds(*values, quantile) * 1000));
      }
      table.add(row);
      any = true;
    }
  });
  if (!any) return;
  out << '\n';
  table.print(out, colour);
}

void printText(const Invocation& invocation, const Object& answer) {
  printTotals(invocation.out, answer, invocation.colour);
  printAnswers(invocation.out, answer, invocation.colour);
  printLatencies(invocation.out, answer, invocation.colour);
}

void metric(std::ostream& out, const std::string& name, const char* type, const char* help) {
  out << fmt::format("# HELP egalaxyd_{0} {2}\n# TYPE egalaxyd_{0} {1}\n", name, type, help);
}

void printPrometheus(const Invocation& invocation, const Object& answer) {
  std::ostream& out = invocation.out;
  const auto totals = answer.getObject("totals");
  for (const std::string& name : totals->getNames()) {
    metric(out, name + "_total", "counter", "See egalaxyctl stats.");
    out << fmt::format("egalaxyd_{}_total {}\n", name, number(*totals, name));
  }
  metric(out, "open_connections", "gauge", "Connections that are open now.");
  out << fmt::format("egalaxyd_open_connections {}\n", answer.getValue<std::int64_t>("open"));
  metric(out, "generation", "gauge", "Generation that serves; each reload makes one.");
  out << fmt::format("egalaxyd_generation {}\n", number(answer, "generation"));
  metric(out, "answers_total", "counter", "Requests answered, by protocol and status.");
  forEachProtocol(answer, "answers", [&](const std::string& protocol, const Object& statuses) {
    for (const std::string& status : statuses.getNames()) {
      out << fmt::format("egalaxyd_answers_total{{protocol=\"{}\",status=\"{}\"}} {}\n", protocol,
                         status, number(statuses, status));
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
        out << fmt::format("egalaxyd_latency_seconds{{{},quantile=\"{}\"}} {}\n", labels, quantile,
                           seconds(*values, member));
      }
      out << fmt::format("egalaxyd_latency_seconds_sum{{{}}} {}\n", labels,
                         seconds(*values, "sum"));
      out << fmt::format("egalaxyd_latency_seconds_count{{{}}} {}\n", labels,
                         number(*values, "count"));
    }
  });
  metric(out, "certificate_not_after_timestamp_seconds", "gauge",
         "When the certificate of a host ends, in Unix time.");
  for (const auto& each : *answer.getArray("certificate_ends")) {
    const auto& row = each.extract<Object::Ptr>();
    out << fmt::format("egalaxyd_certificate_not_after_timestamp_seconds{{host=\"{}\"}} {}\n",
                       printable(row->getValue<std::string>("host")),
                       row->getValue<std::int64_t>("not_after"));
  }
  metric(out, "worker_memory_bytes", "gauge", "Proportional set size of a worker.");
  for (const auto& each : *answer.getArray("workers")) {
    const auto& worker = each.extract<Object::Ptr>();
    if (!worker->has("pss_kib")) continue;
    out << fmt::format(
        "egalaxyd_worker_memory_bytes{{generation=\"{}\",worker=\"{}\",pid=\"{}\"}} "
        "{}\n",
        number(*worker, "generation"), number(*worker, "slot"), number(*worker, "pid"),
        number(*worker, "pss_kib") * 1024);
  }
}

/// Seconds between two looks; nullopt when it makes no sense.
std::optional<std::int64_t> intervalOf(const std::string& text) {
  return text.empty() ? 2 : parseNumber(text, 1, 3600);
}

}  // namespace

int showStatistics(const Invocation& invocation) {
  Invocation own = invocation;
  const auto format = own.options.find("format");
  const std::string form = format == own.options.end() ? "text" : format->second;
  if (form != "text" && form != "json" && form != "prometheus") {
    return refuseValue(own, "stats", form, {"text", "json", "prometheus"});
  }
  if (form == "json") own.options["json"] = "";
  const auto print = form == "prometheus" ? &printPrometheus : &printText;
  const auto watch = own.options.find("watch");
  if (watch == own.options.end()) return askAndPrint(own, ControlCommand::kStats, print);
  const auto interval = intervalOf(watch->second);
  if (!interval) return refuseLine(own, "stats", "--watch takes whole seconds, 1 to 3600");
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  for (;;) {
    if (terminal) own.out << "\x1b[H\x1b[2J";
    const int code = askAndPrint(own, ControlCommand::kStats, print);
    if (code != 0) return code;
    if (!own.out.flush()) return kExitRefused;
    ::poll(nullptr, 0, static_cast<int>(*interval * 1000));
  }
}

}  // namespace egalaxyd::ctl
