// A launcher as a worker sees it, which runs nothing.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "common/shared/launcher_protocol.h"
#include "tests/support/deadline.h"
#include "tests/unit/master/launcher/launcher_lab.h"

namespace egalaxyd {

class FakeLauncher {
 public:
  /// What a script that runs writes to.
  struct Streams {
    UniqueFd output;
    UniqueFd errors;
  };

  /// The worker's end of a new channel; what was before is closed.
  UniqueFd connect() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    peer_.emplace(UniqueFd(ends[0]));
    return UniqueFd(ends[1]);
  }
  void close() { peer_.reset(); }

  bool wasAsked() const { return peer_->hasPacket(); }
  /// The next question, if it is a Question.
  template <class Question>
  std::optional<Question> asked() {
    const auto packet = peer_->receive();
    const auto message = packet ? decodeWorkerAsks(*packet) : std::nullopt;
    const auto* wanted = message ? std::get_if<Question>(&*message) : nullptr;
    return wanted == nullptr ? std::nullopt : std::optional(*wanted);
  }

  void say(std::string_view packet, const std::vector<int>& files = {}) {
    peer_->send(packet, files);
  }
  void say(const LauncherAnswers& answer) { say(encode(answer)); }
  Streams start(std::uint32_t run, std::int32_t pid = 4711) {
    auto [readOutput, output] = makePipe();
    auto [readErrors, errors] = makePipe();
    say(encode(ScriptStarted{run, pid}), {readOutput.get(), readErrors.get()});
    return {std::move(output), std::move(errors)};
  }
  void end(std::uint32_t run, int exitCode = 0, int signal = 0) {
    say(ScriptEnded{run, exitCode, signal, 0, false});
  }

 private:
  static std::pair<UniqueFd, UniqueFd> makePipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
  }

  std::optional<LauncherPeer> peer_;
};

/// Writes all of it, into a pipe that has room.
inline void writeTo(const UniqueFd& pipe, std::string_view text) {
  EXPECT_EQ(::write(pipe.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

/// Turns of the loop until `isSo()`; the test fails when that takes too long.
template <class IsSo>
void turnUntil(EventLoop& loop, IsSo isSo) {
  const Deadline deadline;
  while (!isSo()) {
    ASSERT_FALSE(deadline.passed()) << "what the test waits for does not come";
    loop.post([&loop] { loop.stop(); });
    loop.run();
  }
}

}  // namespace egalaxyd
