#include "master/launcher/launcher_main.h"

namespace {

/// Where a launcher finds its connection to the master that has executed it.
constexpr int kLauncherChannel = 3;

}  // namespace

int main() { return egalaxyd::runLauncher(kLauncherChannel); }
