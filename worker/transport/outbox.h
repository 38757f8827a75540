// Bytes on their way to one client's socket.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "worker/transport/transport.h"

namespace egalaxyd {

/// Has a buffer only while bytes wait in it. Loop thread only; does not own the socket.
class Outbox {
 public:
  explicit Outbox(int socket) : socket_(socket) {}

  /// MSG_MORE: more, or the end, follows at once, so the kernel may hold back a partial segment.
  void moreFollows(bool follows) { moreFollows_ = follows; }
  /// Sends to the socket, and holds back what it does not take.
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
