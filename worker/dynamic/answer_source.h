// Where the bytes of an answer come from that a program or another server gives.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "common/base/unique_function.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// What it said so far is read before it says more: nothing is kept here. Loop thread only.
/// Destroying it ends the program's work on the answer, or the connection.
class AnswerSource {
 public:
  struct Piece {
    enum class State {
      kBytes,  ///< `bytes` of the room were filled, at least one
      kLater,  ///< nothing yet; onReady's hook is called
      kEnd,    ///< that was all
      kCut,    ///< that was not all
    };
    State state = State::kLater;
    std::size_t bytes = 0;
  };

  virtual ~AnswerSource() = default;
  /// Never waits.
  virtual Piece read(std::span<char> room) = 0;
  /// For the log: cgi "/cgi-bin/x"[4711].
  virtual std::string name() const = 0;
  /// For the log, after kEnd or kCut: "exited with code 3", "killed by signal 11 (SIGSEGV)"; ""
  /// where there is nothing to tell.
  virtual std::string howItEnded() const = 0;
  /// After kEnd without a header: what the client is to get instead of the usual 42; nullopt: that.
  virtual std::optional<Status> refusal() const { return std::nullopt; }
  /// After kCut: whether not a byte had come.
  virtual bool saidNothing() const { return false; }
  /// `ready` is called on the loop when read() may have more, maybe once too often. It does not
  /// destroy this.
  void onReady(UniqueFunction<void()> ready) { ready_ = std::move(ready); }

 protected:
  void ready() {
    if (ready_) ready_();
  }

 private:
  UniqueFunction<void()> ready_;
};

}  // namespace egalaxyd
