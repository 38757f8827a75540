// A worker process as the master holds it. Private to Master.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "master/control/statistics.h"
#include "master/master.h"

namespace egalaxyd {

struct Master::Process {
  Process(EventLoop& loop, SpawnedWorker forked, std::size_t slot, std::function<void()> onEnd,
          std::function<void(Process&)> onSpeak)
      : worker(std::move(forked)),
        sharedSlot(slot),
        ended(loop, [onEnd = std::move(onEnd)](IoEvents) { onEnd(); }),
        spoke(loop, [this, onSpeak = std::move(onSpeak)](IoEvents) { onSpeak(*this); }) {}

  WorkerKey key;
  std::int64_t id = 0;  ///< in the records of uploads
  SpawnedWorker worker;
  std::size_t sharedSlot;
  Beginning since;
  Totals before{};                        ///< of its slot, when it was born
  std::string storageTrouble;             ///< "": its database is well
  std::map<std::size_t, Presence> roots;  ///< what it has told, by the index of the place
  std::uint64_t heartbeat = 0;
  unsigned missedBeats = 0;
  Watch ended;
  Watch spoke;
};

}  // namespace egalaxyd
