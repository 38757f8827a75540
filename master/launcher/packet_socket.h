// One end of a channel (SOCK_SEQPACKET) over which descriptors come and go. Never blocks.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"

namespace egalaxyd {

/// Loop thread only. Its callbacks must not destroy it.
class PacketSocket {
 public:
  struct Callbacks {
    std::function<void(std::string_view bytes, std::vector<UniqueFd> files)> packet;
    /// Once, and nothing after it: the peer has gone, or `fault` says what it did that no peer of
    /// ours does.
    std::function<void(const std::string& fault)> ended;
  };
  /// Descriptors that come along are taken up to kMostFiles, or refused: the kernel closes them.
  enum class Files { kRefuse, kTake };
  static constexpr std::size_t kMostFiles = 2;

  PacketSocket(EventLoop& loop, UniqueFd socket, Files files, Callbacks callbacks);

  /// Begins to read; what fails is reported by `ended`.
  void start();
  /// Copies of `files` go along, at most kMostFiles. What the peer has not taken yet waits here.
  void send(std::string packet, std::vector<UniqueFd> files = {});
  /// No callback comes any more, and nothing is sent.
  void close();
  /// In a forked child: closes all descriptors. The object must not be used or destroyed there.
  void closeInChild();

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<UniqueFd> files;
  };

  void onReady(IoEvents events);
  void readSome();
  void flush();
  void breakLater(std::string fault);
  void end();

  Files files_;
  Callbacks callbacks_;
  UniqueFd socket_;
  Watch watch_;
  Timer again_;  ///< a peer that always has more to say lets others have their turn
  std::deque<Outgoing> waiting_;
  Timer retry_;   ///< too many descriptors are on their way
  Timer broken_;  ///< whoever sends is amid its work: it hears of the end from the loop
  std::string fault_;
};

}  // namespace egalaxyd
