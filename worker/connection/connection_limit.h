// How connections and open files go together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace egalaxyd {

/// Exchanges of all workers together.
inline constexpr std::size_t kExchanges = 2700;

/// How many connections a worker accepts that may open so many files: an exchange may need a
/// descriptor for its page too, and the worker has some of its own.
std::uint64_t connectionsWithin(std::uint64_t openFiles);
/// The least limit with which it accepts so many.
std::uint64_t openFilesFor(std::uint64_t connections);

}  // namespace egalaxyd
