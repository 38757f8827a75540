// Totals and latencies: for people, for programs, for Prometheus.
#include <Poco/JSON/Array.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <functional>
#include <ostream>

#include "common/base/units.h"
#include "common/wire/metrics_text.h"
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

void printPrometheus(const Invocation& invocation, const Object& answer) {
  invocation.out << metricsText(answer);
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
