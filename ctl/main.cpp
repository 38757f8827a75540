#include "common/base/unfinished_file.h"
#include "common/base/working_folder.h"
#include "ctl/base/command.h"
#include "ctl/ctl_app.h"

int main(int argc, char** argv) {
  if (!egalaxyd::hasWorkingFolder("egalaxyctl")) return egalaxyd::ctl::kExitUnavailable;
  egalaxyd::removeUnfinishedFilesAtSignals();
  egalaxyd::ctl::CtlApp app;
  return app.readCommandLine(argc, argv) ? app.run() : egalaxyd::ctl::kExitUsage;
}
