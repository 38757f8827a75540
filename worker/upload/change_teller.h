// Tells the other hosts that content has changed, when it is committed.
#pragma once

#include <memory>

#include "common/cluster/database_engine.h"
#include "common/loop/event_loop.h"
#include "worker/base/lane.h"

namespace egalaxyd {

/// Loop thread only; made in the worker. Nobody waits for it: a host that was not told looks by
/// itself soon.
class ChangeTeller {
 public:
  ChangeTeller(EventLoop& loop, std::unique_ptr<DatabaseLink> link);

  /// What is asked for while it tells is told once.
  void tell();

 private:
  const std::shared_ptr<DatabaseLink> link_;
  bool telling_ = false;
  bool again_ = false;
  Lane lane_;
};

}  // namespace egalaxyd
