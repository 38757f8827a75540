// What master and worker say to each other: one byte of kind and at most kMaxText bytes of text per
// message, over a socket pair that also tells each when the other has gone.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/unique_fd.h"

namespace egalaxyd {

enum class ChannelMessage : unsigned char {
  kReady = 1,  ///< worker: accepting
  kRefused,    ///< worker: cannot serve, and why; it exits next
  kHindered,   ///< likewise, but it may pass by itself
  kDrain,      ///< master: accept nothing new, finish, leave
  kNewLog,     ///< master: write this log, "0" being the main one, to the file that comes along
  kLogLevel,   ///< master: log from this level on, "debug"
  kClosed,     ///< worker: accepts nothing new any more
  kStorage,    ///< worker: what ails the database, "" when it is well again
  kRoot,       ///< worker: whether a path that is served can be had, a RootReport
  kFigures,    ///< status page: asks for the figures; master: they are in the file that comes along
  kLauncher,   ///< master: talk to this launcher, by its number, over the socket that comes along
};

/// One end. Passive: the owner watches fd() and calls receive(). Never blocks.
class WorkerChannel {
 public:
  static constexpr std::size_t kMaxText = 1024;

  struct Received {
    enum class Kind { kMessage, kNothing, kPeerGone, kNonsense } kind;
    ChannelMessage message{};
    std::string text;  ///< without control characters
    UniqueFd file;     ///< that came along
  };
  /// Whether a descriptor that comes along is taken. The master takes none of a worker's: the
  /// kernel closes it.
  enum class Files { kRefuse, kTake };

  WorkerChannel() = default;
  explicit WorkerChannel(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  /// `text` beyond kMaxText is cut. `file` goes along as a copy, unless it is negative. Fails when
  /// the peer has gone or does not read.
  Result<void> send(ChannelMessage message, std::string_view text = {}, int file = -1);
  /// The next message, if any. kNonsense: an unknown kind, or more than kMaxText bytes of text.
  Received receive(Files files = Files::kRefuse);

 private:
  UniqueFd fd_;
};

}  // namespace egalaxyd
