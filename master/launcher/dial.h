// One connection to an application, until it is there or cannot be had. Never waits.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "master/launcher/upstream_addresses.h"

namespace egalaxyd {

/// Tries one address after the other. Loop thread only.
class Dial {
 public:
  /// The socket is connected and non-blocking; an error's text is "connect to NAME: …".
  using Done = std::function<void(Result<UniqueFd>)>;

  /// `done` is called once, never from within start(), and must not destroy this.
  Dial(EventLoop& loop, std::string name, std::vector<SocketAddress> addresses, Done done);
  void start(std::chrono::milliseconds timeout);

 private:
  void tryNext();
  void onReady();
  void fail(int errnoValue);
  void finish(Result<UniqueFd> result);

  std::string name_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_ = 0;
  Done done_;
  UniqueFd socket_;
  Watch watch_;
  Timer deadline_;
  Timer step_;
};

}  // namespace egalaxyd
