// An owned file descriptor.
#pragma once

#include <utility>

#include "common/base/result.h"

namespace egalaxyd {

/// Closes its descriptor when it goes. Any thread, but one owner at a time.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  /// -1 when empty.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// Both ends of a close-on-exec, non-blocking SOCK_SEQPACKET pair: messages keep their borders, and
/// each end learns when the other has gone.
Result<std::pair<UniqueFd, UniqueFd>> messageSocketPair();

}  // namespace egalaxyd
