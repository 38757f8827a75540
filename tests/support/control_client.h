// A client of the control socket that does what it is told, wrong things included.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"
#include "tests/support/deadline.h"

namespace egalaxyd {

/// One connection; never waits beyond a deadline. One thread.
class ControlClient {
 public:
  explicit ControlClient(const std::filesystem::path& socket);

  bool connected() const { return connected_; }
  /// How many of the bytes the socket took at once.
  std::size_t send(std::string_view bytes) const;
  /// No more bytes from us.
  void finish() const;
  /// Leaves.
  void close() { fd_.reset(); }
  /// Without its end; "" at the end of the stream, "(nothing)" when nothing came in time.
  std::string line(const Deadline& deadline = Deadline());

 private:
  UniqueFd fd_;
  bool connected_ = false;
  std::string held_;
};

}  // namespace egalaxyd
