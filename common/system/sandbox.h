// What a worker may still ask of the kernel once it serves: Landlock for files, seccomp for system
// calls.
#pragma once

#include <climits>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"

namespace egalaxyd {

/// Connections that the process begins itself.
struct OutgoingRules {
  std::vector<std::uint16_t> ports;  ///< of TCP; none: Unix sockets alone
};

struct SandboxRules {
  std::vector<std::filesystem::path> readable;  ///< files and folders, with all below
  std::vector<std::filesystem::path> writable;  ///< likewise, writing, making and removing included
  /// nullopt: none. Else Unix sockets may be connected to (whoever listens there judges the
  /// account), and where there are ports, TCP to these on any machine; on kernels whose Landlock
  /// has no ports (before ABI 4), to any port.
  std::optional<OutgoingRules> outgoing = {};
  bool marksFiles = false;  ///< extended attributes are read and set on open files
};

/// Where a path may lead later, when a deploy has changed something on its way.
struct Replacements {
  /// The folders that the targets of its links stand in, of links within these too.
  std::vector<std::filesystem::path> behindLinks;
  /// The folder that what it leads to now stands in: it may be removed and made anew. Empty where
  /// that would give away much more: it is somebody's home.
  std::filesystem::path around;
};
/// "/" is in none of them: it would be everything. Blocking.
Replacements replacementsOf(const std::filesystem::path& path);

/// Confines the calling process for good: no other files, no exec, no fork, no new socket, no
/// datagram or connection to an address (but for rules.outgoing), no signal to another process, no
/// new privileges, nobody of its account who looks into its memory (denyTracing); and to
/// descriptors that it shares with others (listeners, log) nothing that would outlive it. Call it
/// after everything else is open and privileges are dropped; threads that already run keep their
/// file access, those begun later do not. A path that does not exist is skipped, so make folders
/// first. Descriptors that are open stay usable; opening beneath an open folder needs a rule for
/// that path like any other opening.
///
/// kAuto takes what this kernel offers and the returned text says what that is, e.g. "landlock ABI
/// 7, seccomp" or "seccomp; no landlock: the kernel does not offer it"; kRequired fails where one
/// is missing; kOff does nothing and returns "off". A build with AddressSanitizer or
/// ThreadSanitizer takes no seccomp and says so: their runtimes fork and trace.
///
/// Of Landlock no part newer than `newestAbi` is used, as on an older kernel; 0: none.
Result<std::string> enterSandbox(SandboxMode mode, const SandboxRules& rules,
                                 long newestAbi = LONG_MAX);

}  // namespace egalaxyd
