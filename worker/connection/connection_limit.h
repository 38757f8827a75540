// How the number of connections depends on the limit on open files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace egalaxyd {

/// The most exchanges of all workers together.
inline constexpr std::size_t kExchanges = 2700;

/// How many connections a worker accepts with this limit on open files (RLIMIT_NOFILE): an exchange
/// may need a second descriptor for its page, and the worker needs some itself.
std::uint64_t connectionsWithin(std::uint64_t openFiles);
/// The smallest limit on open files with which it accepts this many.
std::uint64_t openFilesFor(std::uint64_t connections);

}  // namespace egalaxyd
