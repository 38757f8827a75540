// Files that uploads have left unfinished.
#pragma once

#include <cstddef>

namespace egalaxyd {

/// Removes the file unless a process still writes it (flock), and whatever is no file; returns
/// whether it did. Waits for the disk.
bool removeAbandoned(int folder, const char* name);
/// All those that have names of unfinished files; returns how many.
std::size_t removeAllAbandoned(int folder);

}  // namespace egalaxyd
