#include "ctl/command.h"
#include "ctl/ctl_app.h"

int main(int argc, char** argv) {
  egalaxyd::CtlApp app;
  return app.readCommandLine(argc, argv) ? app.run() : egalaxyd::kExitUsage;
}
