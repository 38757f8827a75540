#include "tests/support/load.h"

#include <sstream>

#include "common/wire/uri.h"
#include "tests/support/gemini_client.h"
#include "tests/support/spartan_client.h"

namespace egalaxyd {
namespace {

/// What is wrong with the answer; "" when nothing is.
std::string troubleOf(std::uint16_t port, const std::string& url) {
  std::ostringstream text;
  const auto uri = std::get<Uri>(parseUri(url));
  if (uri.scheme == "spartan") {
    const SpartanReply reply = askSpartan(port, uri.host + " " + uri.path + " 0\r\n");
    if (reply.status != 2 || !reply.complete()) text << "spartan: " << reply;
  } else {
    const Reply reply = fetch(port, url);
    if (reply.status != 20 || !reply.complete()) text << "gemini: " << reply;
  }
  return text.str();
}

}  // namespace

Load::Load(std::uint16_t port, std::string url, unsigned clients) {
  for (unsigned i = 0; i < clients; ++i) {
    threads_.emplace_back([this, port, url] { run(port, url); });
  }
}

void Load::run(std::uint16_t port, const std::string& url) {
  while (!stopping_) {
    const std::string trouble = troubleOf(port, url);
    if (trouble.empty()) {
      ++served_;
      continue;
    }
    ++failed_;
    const MutexLock lock(mutex_);
    failures_ += trouble + "\n";
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
  const MutexLock lock(mutex_);
  return failures_;
}

}  // namespace egalaxyd
