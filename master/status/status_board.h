// What the status page shows, between the thread that gathers it and those that answer.
#pragma once

#include <Poco/JSON/Object.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/mutex.h"
#include "common/loop/event_loop.h"
#include "master/status/status_history.h"

namespace egalaxyd {

/// One answer of the master's, made ready to be sent.
struct StatusFigures {
  std::string json;     ///< as the master sent it
  std::string metrics;  ///< for Prometheus
  std::string trouble;  ///< why the server does not serve; "": it does
};

/// Reads {"status":{…},"statistics":{…},…}. Fails where it is something else.
Result<StatusFigures> readFigures(const std::string& json, StatusSample& sample);

/// Any thread.
class StatusBoard {
 public:
  void put(StatusFigures figures, const StatusSample& sample, std::uint64_t ownMemoryKib);

  /// "" until there are figures.
  std::string metrics() const;
  /// {"figures":…,"history":…,…}, with the samples behind `since`.
  std::string json(std::uint64_t since) const;
  /// Why the server does not serve, in words; "": it does.
  std::string trouble() const;

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const StatusFigures> figures_ EGALAXYD_GUARDED_BY(mutex_);
  StatusHistory history_ EGALAXYD_GUARDED_BY(mutex_);
  Clock::time_point put_ EGALAXYD_GUARDED_BY(mutex_){};
  std::uint64_t ownMemoryKib_ EGALAXYD_GUARDED_BY(mutex_) = 0;
};

}  // namespace egalaxyd
