// egalaxyd_load: asks a Gemini or Spartan server many questions at once and reports, as one line of
// JSON, how it did. Splits into processes, as the descriptor limit is per process.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "load/crowd.h"
#include "load/options.h"
#include "load/report.h"
#include "load/stallers.h"

namespace egalaxyd::load {
namespace {

constexpr int kSpareDescriptors = 100;

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe makePipe() {
  int ends[2];
  if (pipe(ends) != 0) {
    std::perror("pipe");
    std::exit(71);
  }
  return {ends[0], ends[1]};
}

/// A helper process. It says one byte when it is prepared, later its report.
struct Child {
  pid_t pid = -1;
  int up = -1;
  bool measures = true;
};

/// Closed by the parent: `go` when all children are prepared, `stop` when the measured are done.
struct Signals {
  Pipe go;
  Pipe stop;
};

int processesFor(int connections, int wished) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int perProcess = std::max(1, static_cast<int>(limit.rlim_cur) - kSpareDescriptors);
  return std::max({1, wished, (connections + perProcess - 1) / perProcess});
}

template <class Number>
Number share(Number total, int index, int of) {
  const auto count = static_cast<Number>(of);
  return total / count + (static_cast<Number>(index) < total % count ? 1 : 0);
}

/// `work(up)` runs in the child, which ends with it.
template <class Work>
Child startChild(const Signals& signals, bool measures, Work work) {
  const Pipe up = makePipe();
  const pid_t pid = fork();
  if (pid < 0) {
    std::perror("fork");
    std::exit(71);
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(up.read);
    close(signals.go.write);
    close(signals.stop.write);
    _exit(writeReport(up.write, work(up.write)) ? 0 : 1);
  }
  close(up.write);
  return {pid, up.read, measures};
}

void sayPrepared(int up) {
  const char byte = 'p';
  if (write(up, &byte, 1) != 1) _exit(1);
}

std::vector<Child> startChildren(const Options& options, const Signals& signals) {
  std::vector<Child> children;
  int stalled = 0;
  for (const Stall& stall : options.stalls) stalled += stall.count;
  const int stallProcesses = stalled > 0 ? processesFor(stalled, 0) : 0;
  for (int i = 0; i < stallProcesses; ++i) {
    children.push_back(startChild(signals, false, [&, i](int up) {
      Options mine = options;
      for (Stall& stall : mine.stalls) stall.count = share(stall.count, i, stallProcesses);
      Stallers stallers(mine);
      stallers.prepare();
      sayPrepared(up);
      // It would be on another machine: here it has only the CPU time that the others leave.
      if (nice(19) == -1) _exit(1);
      return stallers.run(signals.stop.read);
    }));
  }
  const int processes = processesFor(options.connections, options.processes);
  for (int i = 0; i < processes; ++i) {
    children.push_back(startChild(signals, true, [&, i](int up) {
      Options mine = options;
      mine.connections = share(options.connections, i, processes);
      mine.requests = share(options.requests, i, processes);
      Crowd crowd(mine);
      crowd.prepare();
      sayPrepared(up);
      char byte;
      if (read(signals.go.read, &byte, 1) != 0) _exit(1);
      return crowd.run();
    }));
  }
  return children;
}

bool prepared(const Child& child) {
  char byte;
  return read(child.up, &byte, 1) == 1;
}

int run(const Options& options) {
  const Signals signals{makePipe(), makePipe()};
  const std::vector<Child> children = startChildren(options, signals);
  bool good = std::ranges::all_of(children, prepared);
  close(signals.go.write);

  Report total;
  const auto collect = [&](bool measures) {
    for (const Child& child : children) {
      Report report;
      if (child.measures != measures) continue;
      good = readReport(child.up, report) && good;
      total.add(report);
    }
  };
  collect(true);
  close(signals.stop.write);
  collect(false);
  for (const Child& child : children) waitpid(child.pid, nullptr, 0);
  if (!good) {
    std::fputs("egalaxyd_load: a helper process ended early\n", stderr);
    return 71;
  }
  std::printf("%s\n", total.json().c_str());
  return total.failed() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace egalaxyd::load

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  return egalaxyd::load::run(egalaxyd::load::parseOptions(argc, argv));
}
