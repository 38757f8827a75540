// What a launcher leaves behind that dies amid its work: a script dies with it, but not what the
// script has begun.
#pragma once

#include <sys/types.h>

#include <vector>

namespace egalaxyd {

/// Of this process's first thread, zombies too. The kernel puts newcomers at the end, and this
/// process alone takes some away, so that none is missed. Empty without /proc.
std::vector<pid_t> childrenHere();

/// For whoever has forked launchers, and inherits what they leave (PR_SET_CHILD_SUBREAPER): kills
/// the children of this process that scripts have begun, and collects those that have ended; no
/// other child is touched. Whether some are left, or may come from those: then it is to be called
/// again, soon. Never waits.
bool endOrphans();

}  // namespace egalaxyd
