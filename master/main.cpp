#include <sysexits.h>

#include "common/base/working_folder.h"
#include "master/master_app.h"

int main(int argc, char** argv) {
  if (!egalaxyd::hasWorkingFolder("egalaxyd")) return EX_UNAVAILABLE;
  egalaxyd::MasterApp app;
  egalaxyd::restoreCrashSignals();
  return app.start(argc, argv);
}
