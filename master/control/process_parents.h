// Whose child a process is.
#pragma once

#include <sys/types.h>

namespace egalaxyd {

/// Whether the parents of `process`, itself included, lead to `ancestor`; also where that cannot be
/// told, since one of them has ended or there are very many.
bool mayDescendFrom(pid_t process, pid_t ancestor);

}  // namespace egalaxyd
