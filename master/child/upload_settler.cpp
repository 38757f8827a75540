#include "master/child/upload_settler.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

/// Files are read whole, of many gigabytes maybe.
constexpr std::chrono::seconds kPatience{600};
constexpr std::chrono::milliseconds kFirstPause{1000};
constexpr std::chrono::milliseconds kLongestPause = std::chrono::minutes(10);

/// What the process writes begins so.
constexpr char kDone = '+';
constexpr char kFailed = '!';

std::string report(const Result<std::string>& done) {
  return done ? kDone + *done : kFailed + done.error().message;
}

Result<std::string> reportOf(const Result<std::string>& text) {
  if (!text) return text.error();
  const std::string_view line = *text;
  if (line.empty()) return Error{ErrorCode::kIo, "nothing was reported"};
  std::string rest(line.substr(1));
  if (line.front() != kDone) return Error{ErrorCode::kIo, std::move(rest)};
  return rest;
}

}  // namespace

UploadSettler::UploadSettler(EventLoop& loop, Work work)
    : work_(std::move(work)),
      pause_(kFirstPause),
      runner_(loop, {.most = 1,
                     .patience = kPatience,
                     .busy = "it is done already",
                     .late = "it took too long; the disk may be slow",
                     .process = "the process that settles uploads"}),
      retry_(loop, [this] { settle(); }) {}

void UploadSettler::settleBeforeStart(std::chrono::milliseconds patience) {
  settle();
  runner_.await(patience);
  if (running_) spdlog::warn("uploads that a crash interrupted are still looked at while serving");
}

void UploadSettler::workerEnded(std::int64_t worker) {
  dead_.ours.insert(worker);
  again_ = true;
  if (!running_) settle();
}

void UploadSettler::settle() {
  again_ = false;
  running_ = true;
  retry_.cancel();
  const auto begun = runner_.run(
      [this] { return report(work_(dead_)); },
      [this, dead = dead_](const Result<std::string>& text) { onSettled(dead, reportOf(text)); });
  if (!begun) onSettled({}, begun.error());
}

void UploadSettler::onSettled(const DeadWorkers& dead, const Result<std::string>& text) {
  running_ = false;
  if (text) {
    pause_ = kFirstPause;
    for (const std::int64_t worker : dead.ours) dead_.ours.erase(worker);
    if (!text->empty()) spdlog::info("after a crash: {}", logQuote(*text));
    if (again_) settle();
    return;
  }
  spdlog::error("uploads that a dead worker had begun are not settled yet: {}; tried again in {} s",
                logQuote(text.error().message), pause_.count() / 1000);
  retry_.setAfter(pause_);
  pause_ = std::min(2 * pause_, kLongestPause);
}

}  // namespace egalaxyd
