#include "worker/base/lane.h"

#include <spdlog/spdlog.h>

#include <new>

namespace egalaxyd {

Lane::Lane(EventLoop& loop, LaneOptions options) : queue_(loop, options.name, options.queueLimit) {
  try {
    for (std::size_t i = 0; i < options.threads; ++i) {
      threads_.push_back(startLaneThread(options.name, [this] { runThread(); }));
    }
  } catch (...) {  // a thread could not be started: the running ones stop, and are joined next
    queue_.stopAndForget();
    throw;
  }
}

Lane::~Lane() { queue_.stopAndForget(); }

void Lane::runThread() {
  while (auto job = queue_.take()) {
    try {
      job->run();
      job->settle();
      Jobs one;
      one.push_back(std::move(job));
      queue_.deliver(std::move(one));
    } catch (const std::bad_alloc&) {
      spdlog::error("a job was lost: there is no memory");
    }
  }
}

}  // namespace egalaxyd
