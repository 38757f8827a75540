#include "tests/support/load.h"

#include <sstream>

namespace egalaxyd {

Load::Load(std::uint16_t port, std::string url, unsigned clients) {
  for (unsigned i = 0; i < clients; ++i) {
    threads_.emplace_back([this, port, url] { run(port, url); });
  }
}

void Load::run(std::uint16_t port, const std::string& url) {
  while (!stopping_) {
    const Reply reply = fetch(port, url);
    if (reply.status == 20 && reply.complete()) {
      ++served_;
      continue;
    }
    ++failed_;
    std::ostringstream text;
    text << reply << '\n';
    const std::lock_guard lock(mutex_);
    failures_ += text.str();
  }
}

void Load::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

bool Load::waitForServed(std::size_t more) const {
  const std::size_t wanted = served_ + more;
  return eventually([&] { return served_ >= wanted; });
}

std::string Load::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace egalaxyd
