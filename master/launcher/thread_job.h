// What may wait for disks or name servers, done by a thread of its own while the loop goes on.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "common/base/mutex.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Such threads of this process, those included that nobody waits for any more.
inline std::atomic<int> threadsAtWork{0};
inline constexpr int kMostThreadsAtWork = 32;

/// One piece of work at a time. Loop thread only; work that is under way when this goes ends
/// unheard.
template <class Found>
class ThreadJob {
 public:
  /// `done` gets what the work has returned; it must not destroy this.
  ThreadJob(EventLoop& loop, std::function<void(Found)> done)
      : done_(std::move(done)), watch_(loop, [this](IoEvents) { onDone(); }) {}

  bool active() const { return shared_ != nullptr; }
  /// False: there is no thread for it now. `work` touches nothing that may go meanwhile.
  bool start(std::function<Found()> work) {
    if (threadsAtWork >= kMostThreadsAtWork) return false;
    shared_ = std::make_shared<Shared>();
    if (!watch_.start(shared_->done.get(), WatchMode::kRead)) return giveUp();
    try {
      ++threadsAtWork;
      std::thread([shared = shared_, work = std::move(work)] { shared->run(work); }).detach();
    } catch (const std::system_error&) {
      --threadsAtWork;
      return giveUp();
    }
    return true;
  }

 private:
  /// The thread may be the last to have it.
  struct Shared {
    UniqueFd done{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Mutex mutex;
    std::optional<Found> found EGALAXYD_GUARDED_BY(mutex);

    void run(const std::function<Found()>& work) {
      auto result = work();
      {
        const MutexLock lock(mutex);
        found.emplace(std::move(result));
      }
      --threadsAtWork;
      const std::uint64_t one = 1;
      if (::write(done.get(), &one, sizeof one) < 0) return;  // never: nobody else has written
    }
  };

  bool giveUp() {
    watch_.stop();
    shared_.reset();
    return false;
  }

  void onDone() {
    watch_.stop();
    const std::shared_ptr<Shared> shared = std::move(shared_);
    std::optional<Found> found;
    {
      const MutexLock lock(shared->mutex);
      found = std::move(shared->found);
    }
    done_(std::move(*found));
  }

  std::function<void(Found)> done_;
  std::shared_ptr<Shared> shared_;
  Watch watch_;
};

}  // namespace egalaxyd
