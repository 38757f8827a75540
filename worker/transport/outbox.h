// What is on its way to one client's socket.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/transport/transport.h"

namespace egalaxyd {

/// Has no buffer but for what waits. Loop thread only; the socket is its owner's.
class Outbox {
 public:
  explicit Outbox(int socket) : socket_(socket) {}

  /// More, or the end, follows at once: the kernel may wait for it with the part of a segment.
  void moreFollows(bool follows) { moreFollows_ = follows; }
  /// To the socket, and what it does not take is held back.
  void write(std::string_view bytes);
  /// Held back until the next write() or send(), so that short pieces leave together.
  void hold(std::string_view bytes) {
    if (!failed_) held_.append(bytes);
  }
  void reserve(std::size_t bytes) { held_.reserve(held_.size() + bytes); }

  /// kDone when nothing is held back; `bytes` counts what the socket took since the last call.
  IoResult send();
  bool empty() const { return held_.empty(); }
  /// The peer is gone: nothing more is sent.
  bool failed() const { return failed_; }

 private:
  void flush();
  std::size_t push(std::string_view bytes);

  int socket_;
  bool moreFollows_ = false;
  std::string held_;
  std::size_t untold_ = 0;  ///< taken by the socket, not yet counted by send()
  bool failed_ = false;
};

}  // namespace egalaxyd
