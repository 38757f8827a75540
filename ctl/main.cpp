#include "ctl/base/command.h"
#include "ctl/ctl_app.h"

int main(int argc, char** argv) {
  egalaxyd::ctl::CtlApp app;
  return app.readCommandLine(argc, argv) ? app.run() : egalaxyd::ctl::kExitUsage;
}
