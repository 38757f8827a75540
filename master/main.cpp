#include <sysexits.h>

#include <string_view>

#include "common/base/working_folder.h"
#include "master/launcher/launcher_main.h"
#include "master/master_app.h"

namespace {

/// Where a launcher finds its connection to the master that has executed it.
constexpr int kLauncherChannel = 3;

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--launcher") {
    return egalaxyd::runLauncher(kLauncherChannel);
  }
  if (!egalaxyd::hasWorkingFolder("egalaxyd")) return EX_UNAVAILABLE;
  egalaxyd::MasterApp app;
  egalaxyd::restoreCrashSignals();
  return app.start(argc, argv);
}
