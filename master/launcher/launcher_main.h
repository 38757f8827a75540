// The process that runs scripts and calls applications, of one account: `egalaxyd-launcher`.
// A program of its own, because each script begins as a copy of it: what it loads and maps costs
// each of them time.
#pragma once

namespace egalaxyd {

/// Serves until its work is done; the exit code. `channel` is a connection to the master (see
/// common/shared/launcher_protocol.h), unless the service manager passes a listening socket
/// (LISTEN_FDS): there each connection is a generation of the master, and the process ends by
/// SIGTERM. To be called in a process of its own that has one thread, the scripts' account for
/// good, and nothing that scripts must not have.
int runLauncher(int channel);

}  // namespace egalaxyd
