// Where applications are: names are looked up by a thread, at the start and each minute.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_plan.h"
#include "master/launcher/thread_job.h"

namespace egalaxyd {

/// In front of the path of a Unix socket.
inline constexpr std::string_view kUnixScheme = "unix:";

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// One address; kInvalid: the path is too long.
Result<std::vector<SocketAddress>> unixAddress(const std::string& path);

/// The addresses of those upstreams, but for those that each user has. Loop thread only; a lookup
/// that is under way when it goes ends unheard.
class UpstreamAddresses {
 public:
  /// `ready` is called once: when the names have been looked up for the first time, or three
  /// seconds are over. Never from within the constructor. It must not destroy this.
  UpstreamAddresses(EventLoop& loop, const std::vector<UpstreamPlace>& upstreams,
                    std::function<void()> ready);

  /// By UpstreamPlace::address; not empty. Without an address: why the name has none.
  const Result<std::vector<SocketAddress>>& of(const std::string& address) const;
  /// Whether it has none yet, but may have when `ready` is called.
  bool awaited(const std::string& address) const { return first_.active() && !of(address); }

 private:
  using Found = std::map<std::string, Result<std::vector<SocketAddress>>>;

  void lookUp();
  void onFound(Found found);
  void beReady();

  std::function<void()> ready_;
  Found found_;
  std::vector<std::string> names_;  ///< addresses that have to be looked up
  ThreadJob<Found> lookup_;
  Timer again_;
  Timer first_;
};

}  // namespace egalaxyd
