#include "worker/dynamic/script_output.h"

#include <spdlog/fmt/fmt.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace egalaxyd {
namespace {

/// A script that has closed its output mostly ends at once, and how it ends tells whether its
/// answer is whole. One that goes on working has said all of it.
constexpr auto kPatienceForTheEnd = std::chrono::seconds(2);

}  // namespace

ScriptOutput::ScriptOutput(EventLoop& loop, LauncherLink& link, LauncherLink::Script script)
    : link_(link),
      run_(script.run),
      process_(std::move(script.process)),
      pipe_(std::move(script.output)),
      watch_(loop, [this](IoEvents) { ready(); }),
      patience_(loop, [this] {
        patient_ = false;
        ready();
      }) {
  process_->onEnded = [this] { ready(); };
  // Without a watch the answer ends at a deadline.
  static_cast<void>(watch_.start(pipe_.get(), WatchMode::kEdge));
}

ScriptOutput::~ScriptOutput() {
  process_->onEnded = {};
  if (!process_->ended) link_.stop(run_);
}

AnswerSource::Piece ScriptOutput::read(std::span<char> room) {
  if (closed_) return atEnd();
  ssize_t got = -1;
  do {
    got = ::read(pipe_.get(), room.data(), room.size());
  } while (got < 0 && errno == EINTR);
  if (got > 0) return {Piece::State::kBytes, static_cast<std::size_t>(got)};
  if (got < 0 && errno == EAGAIN) {
    // What a process that was left behind still says is not part of the answer.
    return process_->ended ? atEnd() : Piece{};
  }
  closed_ = true;
  watch_.stop();
  return atEnd();
}

AnswerSource::Piece ScriptOutput::atEnd() {
  if (process_->ended) {
    const bool killed = process_->ended->signal != 0;
    return {killed ? Piece::State::kCut : Piece::State::kEnd, 0};
  }
  if (!patient_) return {Piece::State::kEnd, 0};
  if (!patience_.active()) patience_.setAfter(kPatienceForTheEnd);
  return {};
}

std::string ScriptOutput::howItEnded() const {
  if (!process_->ended) return {};
  if (process_->ended->signal != 0) {
    const char* name = ::sigabbrev_np(process_->ended->signal);
    return fmt::format("killed by signal {} (SIG{})", process_->ended->signal,
                       name == nullptr ? "?" : name);
  }
  if (process_->ended->exitCode == 0) return {};
  return fmt::format("exited with code {}", process_->ended->exitCode);
}

}  // namespace egalaxyd
