// What the kernel and a shell take for a process, whoever starts it:
// `egalaxyd_bare_start SECONDS` forks, executes `/bin/sh -c :` and waits for it, again and again,
// and prints the median of the seconds that this took, and the mean of the CPU seconds of parent
// and child.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double cpuSeconds(int who) {
  rusage used{};
  getrusage(static_cast<__rusage_who>(who), &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double startOnce() {
  static char shell[] = "/bin/sh";
  static char option[] = "-c";
  static char nothing[] = ":";
  static char* const arguments[] = {shell, option, nothing, nullptr};
  static char* const environment[] = {nullptr};
  const auto began = Clock::now();
  const pid_t pid = fork();
  if (pid == 0) {
    execve(shell, arguments, environment);
    _exit(127);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    std::perror("start /bin/sh");
    std::exit(1);
  }
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::chrono::duration<double> length(std::atof(arguments[1]));
  std::vector<double> walls;
  for (const auto until = Clock::now() + length; Clock::now() < until;) {
    walls.push_back(startOnce());
  }
  if (walls.empty()) return 2;
  const auto middle = walls.begin() + static_cast<std::ptrdiff_t>(walls.size() / 2);
  std::nth_element(walls.begin(), middle, walls.end());
  const double cpu = cpuSeconds(RUSAGE_SELF) + cpuSeconds(RUSAGE_CHILDREN);
  std::printf("%.9f %.9f\n", *middle, cpu / static_cast<double>(walls.size()));
}
