// How much memory this process uses.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/unique_fd.h"

namespace egalaxyd {

/// Of the process that made it, which has to do so before it enters a sandbox.
class MemoryUse {
 public:
  MemoryUse();
  /// KiB that only this process uses plus its share of the rest (PSS); nullopt where the system
  /// does not tell. Takes the kernel some 0.1 ms.
  std::optional<std::uint64_t> kib() const;

 private:
  UniqueFd rollup_;
};

}  // namespace egalaxyd
