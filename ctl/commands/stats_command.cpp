// Totals and latencies: for people, for programs, for Prometheus.
#include <Poco/JSON/Array.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <ostream>
#include <sstream>
#include <string_view>

#include "common/base/units.h"
#include "common/wire/metrics_text.h"
#include "ctl/base/command_table.h"
#include "ctl/base/folded_output.h"
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

std::vector<Object::Ptr> workersOf(const Object& answer) {
  std::vector<Object::Ptr> workers;
  for (const auto& each : *answer.getArray("workers"))
    workers.push_back(each.extract<Object::Ptr>());
  return workers;
}

/// KiB of master and workers together.
std::uint64_t memoryOf(const Object& answer) {
  std::uint64_t sum = answer.optValue<std::uint64_t>("master_pss_kib", 0);
  for (const auto& worker : workersOf(answer)) sum += worker->optValue<std::uint64_t>("pss_kib", 0);
  return sum;
}

/// With a column for each of the first `shown` workers.
Table totalsTable(const Object& answer, std::size_t shown) {
  const auto totals = answer.getObject("totals");
  auto workers = workersOf(answer);
  workers.resize(shown);
  std::vector<std::string> head{"", "total"};
  std::vector<std::string> open{"open", std::to_string(answer.getValue<std::int64_t>("open"))};
  std::vector<std::string> memory{"memory KiB", std::to_string(memoryOf(answer))};
  for (const auto& worker : workers) {
    head.push_back(fmt::format("{}/{}", number(*worker, "generation"), number(*worker, "slot")));
    open.push_back(std::to_string(worker->getValue<std::int64_t>("open")));
    memory.push_back(worker->has("pss_kib") ? std::to_string(number(*worker, "pss_kib")) : "-");
  }
  Table table(head);
  table.add(open);
  const auto gauges = answer.getObject("gauges");
  for (const std::string& name : gauges->getNames()) {
    std::vector<std::string> row{name, std::to_string(gauges->getValue<std::int64_t>(name))};
    row.resize(head.size(), "");
    table.add(row);
  }
  for (const std::string& name : totals->getNames()) {
    std::vector<std::string> row{name, std::to_string(number(*totals, name))};
    for (const auto& worker : workers) {
      row.push_back(std::to_string(number(*worker->getObject("totals"), name)));
    }
    table.add(row);
  }
  table.add(memory);
  return table;
}

/// On a terminal, as many workers as it has columns for.
void printTotals(const Invocation& invocation, const Object& answer) {
  const std::size_t all = workersOf(answer).size();
  std::size_t shown = all;
  Table table = totalsTable(answer, shown);
  while (invocation.terminal && shown > 0 && table.width() > kColumns) {
    table = totalsTable(answer, --shown);
  }
  table.print(invocation.out, invocation.colour);
  if (shown < all) {
    invocation.out << fmt::format("and {} more workers, which --format json shows\n", all - shown);
  }
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
  printTotals(invocation, answer);
  printAnswers(invocation.out, answer, invocation.colour);
  printLatencies(invocation.out, answer, invocation.colour);
}

/// Lines of a terminal, but for the one that the cursor is in.
constexpr std::size_t kLines = 23;
constexpr std::size_t kMovedTotals = 11;
constexpr std::size_t kMovedSpans = 6;

/// The counts that an earlier look has found.
using Counts = std::map<std::string, std::uint64_t>;

/// By how much each has grown, the most first; those that stood still, by what they are.
std::vector<std::pair<std::string, std::uint64_t>> moved(const Counts& now, const Counts& before) {
  const auto growth = [&](const std::string& name, std::uint64_t count) {
    const auto earlier = before.find(name);
    return earlier == before.end() || earlier->second > count ? 0 : count - earlier->second;
  };
  std::vector<std::pair<std::string, std::uint64_t>> rows;
  for (const auto& [name, count] : now) rows.emplace_back(name, growth(name, count));
  std::ranges::stable_sort(rows, [&](const auto& a, const auto& b) {
    return std::pair(a.second, now.at(a.first)) > std::pair(b.second, now.at(b.first));
  });
  return rows;
}

/// For a terminal of 80 columns and 24 lines: what moved since the last look comes first, what does
/// not fit is left out.
class WatchPage {
 public:
  void print(const Invocation& invocation, const Object& answer, std::int64_t interval) {
    std::ostringstream text;
    text << fmt::format("open {}, workers {}, generation {}, memory {} KiB\n",
                        answer.getValue<std::int64_t>("open"), workersOf(answer).size(),
                        number(answer, "generation"), memoryOf(answer));
    printCounts(text, answer, interval, invocation.colour);
    printAnswers(text, answer, invocation.colour);
    printSpans(text, answer, invocation.colour);
    std::istringstream lines(text.str());
    std::size_t left = kLines;
    for (std::string line; std::getline(lines, line);) {
      // Of many answers the first fit.
      std::string_view shown = line;
      const std::string whole = folded(line);
      if (const auto end = whole.find('\n'); end != std::string::npos) shown = {whole.data(), end};
      if (left-- == 0) return;
      invocation.out << shown << '\n';
    }
  }

 private:
  void printCounts(std::ostream& out, const Object& answer, std::int64_t interval, bool colour) {
    Counts now;
    const auto totals = answer.getObject("totals");
    for (const std::string& name : totals->getNames()) now[name] = number(*totals, name);
    auto rows = moved(now, totals_);
    rows.resize(std::min(rows.size(), kMovedTotals));
    Table table({"", "total", "per second"});
    for (const auto& [name, growth] : rows) {
      const double rate = static_cast<double>(growth) / static_cast<double>(interval);
      table.add(
          {name, std::to_string(now.at(name)), growth == 0 ? "" : fmt::format("{:.1f}", rate)});
    }
    table.print(out, colour);
    totals_ = std::move(now);
  }

  void printSpans(std::ostream& out, const Object& answer, bool colour) {
    Counts now;
    std::map<std::string, std::vector<std::string>> cells;
    forEachProtocol(answer, "latencies", [&](const std::string& protocol, const Object& spans) {
      for (const std::string& span : spans.getNames()) {
        const auto values = spans.getObject(span);
        const std::string name = protocol + " " + span;
        now[name] = number(*values, "count");
        for (const char* quantile : {"p50", "p90", "p99", "p999"}) {
          cells[name].push_back(fmt::format("{:.3f}", seconds(*values, quantile) * 1000));
        }
      }
    });
    auto rows = moved(now, spans_);
    rows.resize(std::min(rows.size(), kMovedSpans));
    Table table({"milliseconds", "count", "p50", "p90", "p99", "p99.9"});
    for (const auto& [name, growth] : rows) {
      std::vector<std::string> row{name, std::to_string(now.at(name))};
      row.insert(row.end(), cells.at(name).begin(), cells.at(name).end());
      table.add(std::move(row));
    }
    if (!rows.empty()) table.print(out, colour);
    spans_ = std::move(now);
  }

  Counts totals_;
  Counts spans_;
};

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
  WatchPage page;
  for (;;) {
    const auto answer = askServer(own, ControlCommand::kStats);
    const bool shows = own.terminal && answer && (*answer)->optValue("ok", false) &&
                       form == "text" && !own.has("json");
    if (own.terminal) own.out << "\x1b[H\x1b[2J";
    if (shows) {
      page.print(own, **answer, *interval);
    } else if (const int code = printAnswer(own, answer, print); code != 0) {
      return code;
    }
    if (!own.out.flush()) return kExitRefused;
    ::poll(nullptr, 0, static_cast<int>(*interval * 1000));
  }
}

}  // namespace egalaxyd::ctl
