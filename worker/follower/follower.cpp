#include "worker/follower/follower.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/errno_error.h"
#include "common/system/log.h"
#include "worker/base/job_queue.h"

namespace egalaxyd {
namespace {

/// Files that are asked for at once.
constexpr std::size_t kPage = 500;
/// Files that are tried again one by one; of more, everything is compared again.
constexpr std::size_t kMostFailed = 10'000;
constexpr std::size_t kMostDeletions = 10'000;
constexpr auto kDutyPause = std::chrono::milliseconds(250);
constexpr auto kTroublePause = std::chrono::milliseconds(1000);

/// The row of this host's last start may be as young as this.
constexpr auto kNamesakePatience = std::chrono::seconds(20);

Error stopped() { return {ErrorCode::kBusy, "the worker leaves"}; }

}  // namespace

Follower::Follower(const Config& config, std::unique_ptr<DatabaseLink> link, DatabaseSight& sight,
                   FollowerOptions options)
    : options_(std::move(options)),
      link_(std::move(link)),
      sight_(sight),
      copies_(config),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_(startLaneThread("follower", [this] { run(); })) {}

Follower::~Follower() { stop(); }

void Follower::stop() {
  stopping_ = true;
  ::eventfd_write(wake_.get(), 1);
}

void Follower::run() {
  while (!stopping_) {
    const auto done = !duty_ ? takeDuty() : compared_ ? follow() : compareAll();
    if (done || stopping_) continue;
    looked_ = true;
    troubles_.log({done.error().code, "files do not follow the database: " + done.error().message});
    pause(kTroublePause);
  }
  duty_.reset();
}

/// Another worker of this host, of an earlier generation, may still have it.
Result<void> Follower::takeDuty() {
  UniqueFd file(::open(options_.lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return errnoError("open " + options_.lock.string(), errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    duty_ = std::move(file);
    return {};
  }
  if (errno != EWOULDBLOCK) return errnoError("lock " + options_.lock.string(), errno);
  looked_ = true;
  pause(kDutyPause);
  return {};
}

Result<void> Follower::compareAll() {
  if (auto reported = report(); !reported) return reported;
  auto page = link_->allFiles(nullptr, kPage);
  if (!page) return page.error();
  link_->isNew();  // a newer one than the first page's makes its position worthless
  const std::uint64_t position = page->position;
  failed_.clear();
  nextCompare_.reset();
  std::string folder;
  while (!page->files.empty()) {
    const SharedFile last = page->files.back();
    for (const SharedFile& file : page->files) {
      const std::string at = file.host + file.path.substr(0, file.path.rfind('/') + 1);
      if (std::exchange(folder, at) != at) copies_.sweepBeside(file);
    }
    if (auto done = carryOut(std::move(page->files)); !done) return done;
    page = link_->allFiles(&last, kPage);
    if (!page) return page.error();
  }
  if (link_->isNew()) return {};
  position_ = position;
  compared_ = true;
  looked_ = true;
  return {};
}

Result<void> Follower::follow() {
  if (auto reported = report(); !reported) return reported;
  if (auto waited = link_->waitForChanges(options_.poll, wake_.get()); !waited) return waited;
  auto changes = link_->changesSince(position_);
  if (!changes) return changes.error();
  compared_ = !link_->isNew() && !(nextCompare_ && Clock::now() >= *nextCompare_);
  if (!compared_) return {};
  if (auto done = carryOut(std::move(changes->files)); !done) {
    compared_ = false;
    return done;
  }
  position_ = changes->position;
  if (auto done = retry(); !done) return done;
  return deleteAgain();
}

/// Deletions first: they may make room for a folder, or for a file where one was.
Result<void> Follower::carryOut(std::vector<SharedFile> files) {
  std::stable_partition(files.begin(), files.end(),
                        [](const auto& file) { return file.sha256.empty(); });
  const bool hadFailed = !failed_.empty();
  for (const SharedFile& file : files) {
    if (auto done = carryOut(file); !done) return done;
    if (auto reported = report(); !reported) return reported;
    if (!file.sha256.empty() || !compared_ || soon_.size() >= kMostDeletions) continue;
    soon_.push_back({Clock::now() + options_.soon, file});
  }
  if (!hadFailed) nextRetry_ = Clock::time_point();  // what was in the way may be gone
  return {};
}

/// An Error is the database's: what fails here is noted, and tried again.
Result<void> Follower::carryOut(const SharedFile& file) {
  if (stopping_) return stopped();
  std::optional<Error> away;
  const auto read = [&](std::int64_t content, std::uint64_t part) {
    auto bytes = stopping_ ? Result<std::string>(stopped()) : link_->readContent(content, part);
    if (!bytes) away = bytes.error();
    return bytes;
  };
  const auto copied = copies_.follow(file, read);
  if (away) return *away;
  if (copied) {
    failed_.erase({file.host, file.path});
  } else {
    noteFailure(file, copied.error());
  }
  lag_ = failed_.size();
  return {};
}

void Follower::noteFailure(const SharedFile& file, const Error& error) {
  failures_.log({error.code, fmt::format("{} on {} cannot be put in place, and is tried again: {}",
                                         logQuote(file.path), logQuote(file.host), error.message)});
  if (failed_.size() >= kMostFailed) {
    if (!nextCompare_) nextCompare_ = Clock::now() + options_.compareAfter;
    return;
  }
  failed_.insert_or_assign({file.host, file.path}, file);
}

Result<void> Follower::retry() {
  if (failed_.empty() || Clock::now() < nextRetry_) return {};
  nextRetry_ = Clock::now() + options_.retryAfter;
  std::vector<SharedFile> files;
  for (const auto& [place, file] : failed_) files.push_back(file);
  for (const SharedFile& file : files) {
    if (auto done = carryOut(file); !done) return done;
  }
  return {};
}

Result<void> Follower::deleteAgain() {
  const Clock::time_point now = Clock::now();
  for (; !soon_.empty() && soon_.front().due <= now; soon_.pop_front()) {
    if (auto done = carryOut(soon_.front().file); !done) return done;
    later_.push_back({now + options_.later, std::move(soon_.front().file)});
  }
  for (; !later_.empty() && later_.front().due <= now; later_.pop_front()) {
    if (auto done = carryOut(later_.front().file); !done) return done;
  }
  return {};
}

/// What hangs here would hang for all connections of this host.
Result<void> Follower::report() {
  if (Clock::now() < nextReport_) return {};
  nextReport_ = Clock::now() + options_.reportEvery;
  FleetHost host = options_.host;
  host.lag = static_cast<std::int64_t>(lag_.load());
  const auto reported = link_->report(host);
  if (!reported && reported.error().code == ErrorCode::kBusy) {
    sight_.reset();
    return reported;
  }
  const Clock::time_point now = Clock::now();
  if (reported) misreported_.reset();
  if (!reported && !misreported_) misreported_ = now;
  if (!reported && now - *misreported_ > kNamesakePatience) troubles_.log(reported.error());
  if (const auto facts = link_->facts()) options_.learnt(*facts);
  return {};
}

void Follower::pause(std::chrono::milliseconds most) {
  pollfd wake{wake_.get(), POLLIN, 0};
  ::poll(&wake, 1, static_cast<int>(most.count()));
}

}  // namespace egalaxyd
