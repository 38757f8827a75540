// What the log says about a generation: where it listens, and what its operator should change.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "master/supervise/generation.h"

namespace egalaxyd {

/// Its addresses, and which of systemd's sockets none of them uses.
void noteListeners(const Generation& generation, const std::vector<InheritedSocket>& inherited);
/// Warns of an account of the workers that is root, another program's, or not heeded.
void noteAccount(const Generation& generation);
/// Warns when the limit on open files leaves room for fewer connections than limits.connections.
void noteOpenFiles(const Generation& generation);
/// It serves, at these URLs.
void noteReady(const Generation& generation, const std::vector<ServedUrl>& urls);

/// "1 worker", "4 workers".
std::string countWorkers(std::uint32_t workers);

}  // namespace egalaxyd
