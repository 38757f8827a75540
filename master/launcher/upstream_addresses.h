// Where applications are: names are looked up by a thread, at the start and each minute.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_plan.h"

namespace egalaxyd {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// The addresses of those upstreams. Loop thread only; a lookup that is under way when it goes ends
/// unheard.
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
  struct Lookup;

  void lookUp();
  void onFound();
  void beReady();

  std::function<void()> ready_;
  Found found_;
  std::vector<std::string> names_;  ///< addresses that have to be looked up
  std::shared_ptr<Lookup> lookup_;  ///< that is under way
  Watch done_;
  Timer again_;
  Timer first_;
};

}  // namespace egalaxyd
