#include "worker/connection/connection_limit.h"

#include <algorithm>

namespace egalaxyd {
namespace {

/// Descriptors that a worker needs itself: for listeners, database, log, folders.
constexpr std::size_t kOwnFiles = 64;

}  // namespace

std::uint64_t connectionsWithin(std::uint64_t openFiles) {
  return openFiles - std::min<std::uint64_t>(kExchanges + kOwnFiles, openFiles / 4);
}

std::uint64_t openFilesFor(std::uint64_t connections) {
  return std::min<std::uint64_t>(connections + kExchanges + kOwnFiles, (connections * 4 + 2) / 3);
}

}  // namespace egalaxyd
