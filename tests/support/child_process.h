// The programs under test, started as a shell would.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/deadline.h"

namespace egalaxyd {

struct ProcessSetup {
  /// The program first: a path, or a name that is looked up in $PATH.
  std::vector<std::string> arguments;
  std::filesystem::path directory;  ///< to start in
  std::filesystem::path out;        ///< stdout goes here, at the file's end
  std::filesystem::path err;        ///< stderr likewise
  /// Added to the test's own, without what service managers set. An empty value removes one.
  std::map<std::string, std::string> environment;
};

struct ExitStatus {
  int code = -1;  ///< -1: ended by a signal
  int signal = 0;
};

/// A running program that leads a process group. Start it from a thread that outlives it: the
/// kernel kills it when that thread ends. Orphans of its group become our children, so none gets
/// lost.
class ChildProcess {
 public:
  /// Throws when the program cannot be started.
  explicit ChildProcess(const ProcessSetup& setup);
  /// Kills the whole group if anything of it is left.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  bool running();
  /// nullopt: still running at the deadline.
  std::optional<ExitStatus> wait(std::chrono::milliseconds patience = kPatience);
  /// Whether a process of its group still lives. Reaps those that have ended.
  bool groupLives();

 private:
  pid_t pid_ = -1;
  std::optional<ExitStatus> ended_;
};

struct Finished {
  ExitStatus status;
  std::string out;
  std::string err;
  std::string all() const { return out + err; }
};

/// Runs a program to its end; one that takes longer than `patience` is killed and has code -1.
Finished runProgram(std::vector<std::string> arguments, const std::filesystem::path& directory,
                    std::map<std::string, std::string> environment = {},
                    std::chrono::milliseconds patience = kPatience);

/// The path of `egalaxyd` or `egalaxyctl` in $EGALAXYD_BIN_DIR.
std::string programPath(const std::string& name);
/// Whether `name` is in $PATH.
bool isInstalled(const std::string& name);
/// The whole file; "" when it is not there.
std::string readAll(const std::filesystem::path& file);

}  // namespace egalaxyd
