#include "common/wire/metrics_text.h"

#include <Poco/JSON/Array.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

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

/// What Prometheus shows beside a figure: what one of it is, and when it is counted.
constexpr std::pair<std::string_view, const char*> kHelp[] = {
    {"connections", "Connections that were accepted."},
    {"connections_refused",
     "Connections closed at once: too many of one address, or a flood beyond the rate limit."},
    {"connections_denied", "Connections closed at once: their network is in listen.deny."},
    {"handshakes", "TLS handshakes that were completed."},
    {"handshakes_failed", "TLS handshakes that failed or that the client left."},
    {"requests", "Requests that were answered, whatever the status."},
    {"rate_limited", "Requests answered 44, slow down: their address asks too often."},
    {"timeouts", "Connections closed at a deadline of [limits]."},
    {"bytes_in", "Bytes of requests and uploads received, after decryption."},
    {"bytes_out", "Bytes of answers sent, before encryption."},
    {"status_1x", "Requests answered with a status of 10 to 19, input wanted."},
    {"status_2x", "Requests answered with a status of 20 to 29, success."},
    {"status_3x", "Requests answered with a status of 30 to 39, redirected."},
    {"status_4x", "Requests answered with a status of 40 to 49, a failure that may pass."},
    {"status_5x", "Requests answered with a status of 50 to 59, a failure that stays."},
    {"status_6x", "Requests answered with a status of 60 to 69, a client certificate wanted."},
    {"log_lines_dropped", "Log lines that their target did not take, such as on a full disk."},
    {"uploads_stored", "Uploads that were stored: files written or replaced."},
    {"uploads_deleted", "Files that uploads deleted."},
    {"uploads_refused", "Uploads that were refused or failed."},
    {"upload_bytes", "Bytes of the files that uploads stored."},
    {"scripts_started", "Scripts that were started."},
    {"scripts_refused", "Scripts that were not started: no place, no launcher, not executable."},
    {"scripts_failed", "Scripts and applications without a right and whole answer."},
    {"scripts_late", "Scripts and applications whose answer was ended at a deadline."},
    {"scripts_killed", "Scripts that the server ended, for whatever reason."},
    {"program_requests", "Requests that scripts and applications answer now."},
    {"scripts_running", "Scripts that run now."},
    {"scripts_queued", "Scripts that wait for a place, or are being started."}};

const char* helpOf(std::string_view name) {
  const auto found =
      std::ranges::find_if(kHelp, [&](const auto& row) { return row.first == name; });
  return found == std::end(kHelp) ? "A total since the server started." : found->second;
}

/// As a label's value.
std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') safe += '\\';
    safe += c;
  }
  return safe;
}

constexpr std::pair<const char*, const char*> kQuantiles[] = {
    {"0.5", "p50"}, {"0.9", "p90"}, {"0.99", "p99"}, {"0.999", "p999"}};

void metric(std::string& out, const std::string& name, const char* type, const char* help) {
  put(out, "# HELP egalaxyd_{0} {2}\n# TYPE egalaxyd_{0} {1}\n", name, type, help);
}

/// Those of them that are counted.
std::vector<std::pair<std::string, Object::Ptr>> labelled(const Poco::JSON::Array& upstreams) {
  std::vector<std::pair<std::string, Object::Ptr>> rows;
  for (const auto& each : upstreams) {
    const auto& row = each.extract<Object::Ptr>();
    if (!row->has("state")) continue;
    const auto text = [&](const char* name) { return escaped(row->getValue<std::string>(name)); };
    rows.emplace_back(fmt::format("host=\"{}\",mount=\"{}\",upstream=\"{}\"", text("host"),
                                  text("mount"), text("address")),
                      row);
  }
  return rows;
}

void upstreamMetrics(std::string& out, const Poco::JSON::Array& upstreams) {
  const auto rows = labelled(upstreams);
  metric(out, "upstream_up", "gauge",
         "Whether an application or a capsule answers; 0: it is set aside for a while.");
  for (const auto& [labels, row] : rows) {
    put(out, "egalaxyd_upstream_up{{{}}} {}\n", labels,
        row->getValue<std::string>("state") == "up" ? 1 : 0);
  }
  metric(out, "upstream_connections", "gauge",
         "Connections to an application or a capsule that requests hold now.");
  for (const auto& [labels, row] : rows) {
    put(out, "egalaxyd_upstream_connections{{{}}} {}\n", labels, number(*row, "connections"));
  }
  metric(out, "upstream_requests_total", "counter",
         "Requests to an application or a capsule, by outcome, of the workers that run.");
  for (const auto& [labels, row] : rows) {
    for (const char* outcome : {"answered", "failed"}) {
      put(out, "egalaxyd_upstream_requests_total{{{},outcome=\"{}\"}} {}\n", labels, outcome,
          number(*row, outcome));
    }
  }
}

/// Of a database that is shared with other hosts.
void storageMetrics(std::string& out, const Object& storage) {
  metric(out, "storage_up", "gauge", "Whether a worker reaches the shared database.");
  put(out, "egalaxyd_storage_up {}\n", storage.getValue<bool>("up") ? 1 : 0);
  metric(out, "storage_waiting_jobs", "gauge",
         "Uploads, metadata and look-ups that the database has not answered yet.");
  put(out, "egalaxyd_storage_waiting_jobs {}\n", number(storage, "waiting_jobs"));
  metric(out, "storage_reconnects_total", "counter", "Connections to the database made anew.");
  put(out, "egalaxyd_storage_reconnects_total {}\n", number(storage, "reconnects"));
  metric(out, "storage_uncertain_commits_total", "counter",
         "Commits without an answer, by what they were found to be.");
  const auto uncertain = storage.getObject("uncertain_commits");
  for (const char* outcome : {"committed", "repeated", "unknown"}) {
    put(out, "egalaxyd_storage_uncertain_commits_total{{outcome=\"{}\"}} {}\n", outcome,
        number(*uncertain, outcome));
  }
  metric(out, "storage_regressions_total", "counter",
         "How often the database had forgotten what it had acknowledged: must be 0.");
  put(out, "egalaxyd_storage_regressions_total {}\n", number(storage, "regressions"));
  metric(out, "content_lag", "gauge", "Changes of content that this host has not carried out.");
  put(out, "egalaxyd_content_lag {}\n", number(storage, "content_lag"));
  metric(out, "content_bytes", "gauge", "Bytes of content that the database holds, about.");
  put(out, "egalaxyd_content_bytes {}\n", number(storage, "content_bytes"));
  metric(out, "storage_commit_seconds", "summary", "Seconds that commits took.");
  const auto commits = storage.getObject("commits");
  for (const auto& [quantile, member] : kQuantiles) {
    put(out, "egalaxyd_storage_commit_seconds{{quantile=\"{}\"}} {}\n", quantile,
        commits->getValue<double>(member));
  }
  put(out, "egalaxyd_storage_commit_seconds_sum {}\n", commits->getValue<double>("sum"));
  put(out, "egalaxyd_storage_commit_seconds_count {}\n", number(*commits, "count"));
}

}  // namespace

void forEachProtocol(
    const Object& answer, const std::string& member,
    const std::function<void(const std::string& protocol, const Object& values)>& visit) {
  const auto protocols = answer.getObject(member);
  for (const std::string& protocol : protocols->getNames()) {
    visit(protocol, *protocols->getObject(protocol));
  }
}

std::string metricsText(const Object& answer) {
  std::string out;
  const auto totals = answer.getObject("totals");
  for (const std::string& name : totals->getNames()) {
    metric(out, name + "_total", "counter", helpOf(name));
    put(out, "egalaxyd_{}_total {}\n", name, number(*totals, name));
  }
  metric(out, "open_connections", "gauge", "Connections that are open now, of all workers.");
  put(out, "egalaxyd_open_connections {}\n", answer.getValue<std::int64_t>("open"));
  const auto gauges = answer.getObject("gauges");
  for (const std::string& name : gauges->getNames()) {
    metric(out, name, "gauge", helpOf(name));
    put(out, "egalaxyd_{} {}\n", name, gauges->getValue<std::int64_t>(name));
  }
  metric(out, "generation", "gauge",
         "Number of the configuration that serves; each reload that succeeds counts one on.");
  put(out, "egalaxyd_generation {}\n", number(answer, "generation"));
  metric(out, "answers_total", "counter",
         "Requests that were answered, by protocol and by status as that protocol writes it.");
  forEachProtocol(answer, "answers", [&](const std::string& protocol, const Object& statuses) {
    for (const std::string& status : statuses.getNames()) {
      put(out, "egalaxyd_answers_total{{protocol=\"{}\",status=\"{}\"}} {}\n", protocol, status,
          number(statuses, status));
    }
  });
  metric(out, "latency_seconds", "summary",
         "Seconds that requests took since the server started. handshake: from accept to a TLS "
         "connection; first_byte: from the request line to the answer; request: from accept to the "
         "end.");
  forEachProtocol(answer, "latencies", [&](const std::string& protocol, const Object& spans) {
    for (const std::string& span : spans.getNames()) {
      const auto values = spans.getObject(span);
      const std::string labels = fmt::format("protocol=\"{}\",span=\"{}\"", protocol, span);
      for (const auto& [quantile, member] : kQuantiles) {
        put(out, "egalaxyd_latency_seconds{{{},quantile=\"{}\"}} {}\n", labels, quantile,
            values->getValue<double>(member));
      }
      put(out, "egalaxyd_latency_seconds_sum{{{}}} {}\n", labels, values->getValue<double>("sum"));
      put(out, "egalaxyd_latency_seconds_count{{{}}} {}\n", labels, number(*values, "count"));
    }
  });
  if (const auto storage = answer.getObject("storage")) storageMetrics(out, *storage);
  const auto upstreams = answer.getArray("upstreams");
  if (upstreams && !upstreams->empty()) upstreamMetrics(out, *upstreams);
  metric(out, "certificate_not_after_timestamp_seconds", "gauge",
         "When the certificate of a host ends, in seconds since 1970.");
  for (const auto& each : *answer.getArray("certificate_ends")) {
    const auto& row = each.extract<Object::Ptr>();
    put(out, "egalaxyd_certificate_not_after_timestamp_seconds{{host=\"{}\"}} {}\n",
        printable(row->getValue<std::string>("host")), row->getValue<std::int64_t>("not_after"));
  }
  metric(out, "worker_memory_bytes", "gauge",
         "Bytes of memory that a worker uses, what it shares counted in part (PSS).");
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
