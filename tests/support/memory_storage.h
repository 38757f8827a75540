// A storage that forgets: for tests, and the plainest statement of what a Storage does.
#pragma once

#include <memory>

#include "common/storage/storage.h"

namespace egalaxyd {

/// "Durable" means until it goes. Never in trouble. A transaction copies everything.
std::unique_ptr<Storage> makeMemoryStorage(const StorageLimits& limits = {});

}  // namespace egalaxyd
