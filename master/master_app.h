// egalaxyd as a program: reads the command line, does what it says, and gives the exit code.
#pragma once

#include <Poco/Util/ServerApplication.h>

#include <optional>
#include <string>
#include <vector>

#include "common/config/config_loader.h"
#include "master/start/background.h"
#include "master/start/command_line.h"
#include "master/start/pid_file.h"
#include "master/supervise/generation.h"

namespace egalaxyd {

/// One per process, made first thing in main().
class MasterApp final : public Poco::Util::ServerApplication {
 public:
  /// Parses the command line and does what it says; the exit code. To be called instead of the
  /// base's run(), which would leave the terminal before anything was checked.
  int start(int argc, char** argv);

 protected:
  void defineOptions(Poco::Util::OptionSet& options) override;
  void handleOption(const std::string& name, const std::string& value) override;
  int main(const std::vector<std::string>& arguments) override;

 private:
  int usageError(const std::string& text) const;
  int fail(const Failure& failure) const;
  LoadedConfig load() const;
  int check() const;
  int dump() const;
  int restore();
  int serve();
  Result<void> beforeFork(const LogConfig& log);
  void onReady(const Generation& first, const std::vector<ServedUrl>& urls);

  CommandLine line_;
  std::string usageMistake_;
  std::optional<Background> background_;
  std::optional<PidFile> pidFile_;
};

/// POCO's Application installs handlers that turn a crash into SIGABRT; the supervisor wants the
/// truth, and so does a core dump.
void restoreCrashSignals();

}  // namespace egalaxyd
