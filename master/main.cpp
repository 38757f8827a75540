#include "master/master_app.h"

int main(int argc, char** argv) {
  egalaxyd::MasterApp app;
  egalaxyd::restoreCrashSignals();
  return app.start(argc, argv);
}
