// A script's standard output as the source of an answer.
#pragma once

#include <memory>
#include <string>

#include "common/base/unique_fd.h"
#include "common/loop/event_loop.h"
#include "worker/dynamic/answer_source.h"
#include "worker/dynamic/launcher_link.h"

namespace egalaxyd {

/// Ends when the pipe does; or when the script has ended and the pipe is empty, even if a process
/// that it left behind holds the other end. Stops the script when it is destroyed before.
class ScriptOutput final : public AnswerSource {
 public:
  /// `link` outlives it.
  ScriptOutput(EventLoop& loop, LauncherLink& link, LauncherLink::Script script);
  ~ScriptOutput() override;
  ScriptOutput(const ScriptOutput&) = delete;
  ScriptOutput& operator=(const ScriptOutput&) = delete;

  Piece read(std::span<char> room) override;
  std::string name() const override { return process_->name; }
  std::string howItEnded() const override;

 private:
  Piece atEnd();

  LauncherLink& link_;
  const std::uint32_t run_;
  const std::shared_ptr<ScriptRun> process_;
  UniqueFd pipe_;
  Watch watch_;
  Timer patience_;  ///< from the end of the pipe until the script's own end is not waited for
  bool closed_ = false;
  bool patient_ = true;
};

}  // namespace egalaxyd
