// A storage in memory: for tests, and as the plainest statement of what a Storage does.
#pragma once

#include <memory>

#include "common/storage/storage.h"

namespace egalaxyd {

/// Keeps everything until it is destroyed, never fails, and copies everything for a transaction.
std::unique_ptr<Storage> makeMemoryStorage(const StorageLimits& limits = {});

}  // namespace egalaxyd
