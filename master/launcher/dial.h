// One connection to an application, until it is there or cannot be had. Never waits.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "master/launcher/thread_job.h"
#include "master/launcher/upstream_addresses.h"

namespace egalaxyd {

struct DialTarget {
  std::string name;
  std::vector<SocketAddress> addresses;  ///< not empty
  UniqueFd file = {};                    ///< that an address leads through
  std::optional<uid_t> listener = {};    ///< whose the process has to be that listens there
};

/// Tries one address after the other. Loop thread only.
class Dial {
 public:
  /// The socket is connected and non-blocking. Errors, with the text "connect to NAME: …" or that
  /// of the search: kNotFound (no such target, or not the listener that there has to be), kBusy
  /// (too many are searched for), kIo.
  using Done = std::function<void(Result<UniqueFd>)>;

  /// `done` is called once, never from within start(), and must not destroy this.
  Dial(EventLoop& loop, Done done);
  void start(DialTarget target, std::chrono::milliseconds timeout);
  /// `find` is called by a thread; its errors are kNotFound or kIo.
  void start(std::function<Result<DialTarget>()> find, std::chrono::milliseconds timeout);

 private:
  void onFound(Result<DialTarget> target);
  void tryNext();
  void onReady();
  void fail(int errnoValue);
  void connected();
  Error failed(int errnoValue) const;
  void finish(Result<UniqueFd> result);

  DialTarget target_;
  std::size_t next_ = 0;
  Done done_;
  ThreadJob<Result<DialTarget>> search_;
  UniqueFd socket_;
  Watch watch_;
  Timer deadline_;
  Timer step_;
};

}  // namespace egalaxyd
