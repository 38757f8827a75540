// A real egalaxyd in a folder of its own.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/gemini_client.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {

/// Serves dir()/root as "localhost" on a port of 127.0.0.1 that the kernel chose, with two workers
/// and without rate limit, unless told otherwise. The destructor stops the server and expects it to
/// leave as it should: exit code 0, no process left, nothing left open, no sanitizer's report.
class Capsule {
 public:
  Capsule();
  ~Capsule();
  Capsule(const Capsule&) = delete;
  Capsule& operator=(const Capsule&) = delete;

  const TempDir& dir() const { return dir_; }
  std::filesystem::path root() const { return dir_ / "root"; }
  /// Writes root()/name.
  void page(std::string_view name, std::string_view text) const;

  /// A key of the configuration outside the sites, e.g. set("limits.write_timeout", "\"1s\"").
  void set(const std::string& key, const std::string& tomlValue) { settings_[key] = tomlValue; }
  /// Leaves the key to its default.
  void unset(const std::string& key) { settings_.erase(key); }
  /// Replaces the `[sites]` part.
  void sites(std::string toml) { sites_ = std::move(toml); }
  std::string configText() const;
  std::filesystem::path configFile() const { return dir_ / "egalaxyd.toml"; }
  void writeConfig() const;

  /// Writes the configuration and starts the server; throws, with what the server said, when it
  /// does not become ready.
  void start();
  /// The same with a command line of the test's own, in `folder`.
  void startWith(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                 const std::map<std::string, std::string>& environment = {});
  /// SIGTERM; the exit status, and all that the destructor expects. Called by the destructor.
  ExitStatus stop();
  /// The test ends the server in its own way: whatever is left is killed, nothing is expected.
  void abandon() { abandoned_ = true; }

  std::uint16_t port(std::size_t index = 0) const { return ports_.at(index); }
  /// Of the first Spartan address; throws when there is none.
  std::uint16_t spartanPort() const { return spartanPorts_.at(0); }
  /// "gemini://HOST:PORT" + path.
  std::string url(std::string_view path = "/", std::string_view host = "localhost") const;
  Reply get(std::string_view path, const TlsSettings& settings = {}) const;

  std::filesystem::path controlSocket() const { return dir_ / "run/control.sock"; }
  /// Runs `egalaxyctl WORDS...` against this server.
  Finished ctl(std::vector<std::string> words) const;

  ChildProcess& process() { return *process_; }
  pid_t masterPid() const { return process_->pid(); }
  /// In the order of their birth.
  std::vector<pid_t> workerPids() const;
  void killWorker(std::size_t index) const;

  /// Everything that was logged, or printed on stderr.
  std::string log() const;
  /// What the server printed on stdout.
  std::string out() const;
  /// A place in the log, to look at what comes later.
  std::size_t logMark() const { return log().size(); }
  bool logContains(std::string_view text, std::size_t mark = 0) const;
  bool waitForLog(std::string_view text, std::size_t mark = 0) const;
  /// SIGHUP, and waits until the new generation serves; throws when it does not come. The old one
  /// may still answer what it accepted.
  void reload();

 private:
  void waitUntilReady();
  std::vector<std::uint16_t> portsOf(const std::string& scheme, std::uint16_t usual) const;
  void expectCleanEnd();

  TempDir dir_;
  std::map<std::string, std::string> settings_;
  std::string sites_;
  std::unique_ptr<ChildProcess> process_;
  std::vector<std::uint16_t> ports_;
  std::vector<std::uint16_t> spartanPorts_;
  unsigned generation_ = 1;
  bool abandoned_ = false;
  bool stopped_ = false;
};

/// Whether no server of the system runs here. Where its folder is closed to this account, one may.
bool noServerOfTheSystemRuns();

/// Memory that is of no file, those shared with a parent or child too, in KiB: it does not change
/// with what other processes do.
std::size_t anonymousKib(pid_t pid);
/// CPU time that it has used so far, in the kernel too.
std::chrono::milliseconds cpuTime(pid_t pid);

}  // namespace egalaxyd
