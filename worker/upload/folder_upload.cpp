#include "worker/upload/folder_upload.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <tuple>
#include <utility>

#include "common/base/errno_error.h"
#include "common/system/log.h"
#include "worker/upload/free_floor.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

/// How long a client waits for the record of a file that is already published.
constexpr auto kSettlePatience = std::chrono::seconds(10);
/// How long the file that is to be replaced is read again and again, as others change it meanwhile.
constexpr auto kReadPatience = std::chrono::seconds(10);
/// Parts of forgotten versions that each upload frees, many times what it keeps at the usual size.
constexpr std::size_t kSweptParts = 64;
Response notKnown() {
  return Response::failure(Status::kTemporaryFailure,
                           "It is not known whether this was stored: look before you try again");
}

}  // namespace

Task<Result<void>> FolderUpload::remove() {
  const auto find = [this] { return file_->findExisting(); };
  if (auto found = co_await uploads_.lane_.run(find); !found) co_return found;
  if (auto read = co_await readOld(); !read) co_return read;
  if (auto announced = co_await announce(""); !announced) co_return announced;
  co_return co_await settle();
}

/// An upload of more than one chunk is announced now, which reserves its room; a smaller one is
/// announced, and checked again, when it has come.
Task<Result<void>> FolderUpload::askFirst() {
  if (request_.upload->size > kRequestBodyChunk) co_return co_await announce("");
  co_return co_await Upload::askFirst();
}

Task<Result<void>> FolderUpload::append(const std::string& chunk) {
  if (order_.isBounded() && id_ == 0) {
    if (auto announced = co_await announce(""); !announced) co_return announced;
  }
  auto written = co_await write(chunk, false);
  if (written || !file_->needsName()) co_return written;
  // The content gets a name before it is complete: after a crash only a record tells of it.
  if (id_ == 0) {
    if (auto announced = co_await announce(""); !announced) co_return announced;
  }
  file_->allowName();
  co_return co_await write(chunk, false);
}

/// Content and record go to the disk at the same time, unless the record must reserve room first.
Task<Result<void>> FolderUpload::complete(const std::string& rest) {
  if (auto read = co_await readOld(); !read) co_return read;
  Result<void> written;
  Result<void> recorded;
  if (order_.isBounded() && id_ == 0) {
    recorded = co_await announce(sha256_);
    if (recorded) written = co_await write(rest, true);
  } else {
    std::tie(written, recorded) = co_await both(write(rest, true), recordWhole());
  }
  if (recorded && !written && file_->needsName()) {
    file_->allowName();
    written = co_await write(rest, true);
  }
  if (!written) co_return written;
  if (!recorded) co_return recorded;
  co_return co_await settle();
}

/// Commits the pending record; `sha256`: of the new content, "" if there is none or not yet known.
Task<Result<void>> FolderUpload::announce(std::string sha256) {
  const auto announceIt = [&](Storage& storage) { return announceIn(storage, sha256); };
  const auto announced = co_await uploads_.storage_.write(announceIt);
  if (!announced) co_return announced.error();
  id_ = announced->id;
  recorded_ = announced->fileIsRecorded;
  if (order_.bounds.ownOnly) file_->setMayReplace(announced->isTheirs);
  co_return Result<void>();
}

/// Adds the content's sum to the pending record.
Task<Result<void>> FolderUpload::recordWhole() {
  if (id_ == 0) co_return co_await announce(sha256_);
  const auto completeIt = [this](Storage& storage) {
    auto completed = storage.completeUpload(id_, sha256_);
    return completed ? keepIn(storage, id_) : completed;
  };
  co_return co_await uploads_.storage_.write(completeIt);
}

/// Reads the file that has the name for old_: a part, or all of it, in the first job. What it holds
/// must be committed, with the pending record, before that file goes.
Task<Result<void>> FolderUpload::readOld() {
  old_.reset();
  if (!order_.keep) co_return Result<void>();
  if (!turn_) {
    auto turn = co_await uploads_.turns_.take(order_.host + request_.path);
    if (!turn) co_return turn.error();
    turn_ = std::move(*turn);
  }
  const auto open = [this]() -> Result<std::string> {
    if (auto begun = file_->begin(); !begun) return begun.error();
    if (auto opened = oldFile_.open(file_->folder(), file_->name()); !opened) return opened.error();
    return oldFile_.isThere() ? oldFile_.read() : std::string();
  };
  auto part = co_await uploads_.lane_.run(open);
  if (!part) co_return part.error();
  if (!oldFile_.isThere()) co_return Result<void>();
  old_.emplace();
  while (part->size() == kContentPart) {
    if (auto appended = co_await appendOld(*part); !appended) co_return appended;
    const auto read = [this] { return oldFile_.read(); };
    part = co_await uploads_.lane_.run(read);
    if (!part) co_return part.error();
  }
  old_->mount = order_.keep->mount;
  old_->sha256 = oldFile_.sha256();
  old_->size = oldFile_.size();
  old_->written = oldFile_.written();
  if (order_.keep->age) old_->expires = wallNow() + *order_.keep->age;
  old_->rest = std::move(*part);
  co_return Result<void>();
}

Task<Result<void>> FolderUpload::appendOld(const std::string& part) {
  if (oldFile_.size() > order_.keep->rules.bytes) {
    co_return Error{ErrorCode::kNoSpace,
                    "the file that would be replaced is larger than "
                    "upload.keep_size, so no version of it could be kept"};
  }
  const auto append = [&](Storage& storage) -> Result<std::int64_t> {
    auto room = checkFloorAt(uploads_.database_, order_.place.minFree);
    if (!room) return room.error();
    return storage.appendContent(old_->content, part, wallNow());
  };
  const auto content = co_await uploads_.storage_.write(append);
  if (content) old_->content = *content;
  co_return content ? Result<void>() : content.error();
}

/// The file was changed between readOld() and its replacement.
Task<Result<void>> FolderUpload::lookAgain() {
  oldHasChanged_ = false;
  if (auto read = co_await readOld(); !read) co_return read;
  const auto keep = [this](Storage& storage) { return keepIn(storage, id_); };
  co_return co_await uploads_.storage_.write(keep);
}

/// Publishes or removes the file, and settles the record.
Task<Result<void>> FolderUpload::settle() {
  if (!order_.keep && !recorded_ && file_->hasOld()) {  // no record tells the old file's sum
    const auto sum = [this] { return file_->sumOld(); };
    if (auto done = co_await uploads_.lane_.run(sum); !done) co_return done;
  }
  const auto settleIt = [this](Storage& storage) { return settleIn(storage); };
  auto settled = co_await uploads_.storage_.write(settleIt);
  const Clock::time_point patience = Clock::now() + kReadPatience;
  while (oldHasChanged_ && Clock::now() < patience) {
    if (auto looked = co_await lookAgain(); !looked) co_return looked;
    settled = co_await uploads_.storage_.write(settleIt);
  }
  if (!settled) co_return co_await settleAgain(settled.error());
  co_return settled;
}

/// Called when settleIn() has failed, or its commit, which may have reached the disk all the same.
Task<Result<void>> FolderUpload::settleAgain(Error error) {
  if (file_->syncHasFailed()) {
    spdlog::error("the record of an upload whose fsync failed stays pending until its worker ends");
    keepRecord_ = true;
    if (file_->isPublished()) answerUnknown(notKnown());
    co_return error;
  }
  if (!file_->isPublished()) co_return error;
  spdlog::error("an upload took effect, but its record could not be written: {}; it is tried again",
                logQuote(error.message));
  const Clock::time_point patience = Clock::now() + kSettlePatience;
  const auto settleIt = [this](Storage& storage) { return settleNamed(storage); };
  while (co_await uploads_.nextAttempt()) {
    const auto settled = co_await uploads_.storage_.write(settleIt);
    if (settled) {
      spdlog::info("the record of an upload that took effect is written now");
      keepRecord_ = true;
      if (*settled) co_return Result<void>();
      co_return Error{ErrorCode::kIo, "another upload has replaced it since"};
    }
    if (Clock::now() > patience) answerUnknown(notKnown());
  }
  answerUnknown(notKnown());
  co_return error;
}

Result<FolderUpload::Announced> FolderUpload::announceIn(Storage& storage,
                                                         const std::string& sha256) {
  auto announced = recordIn(storage);
  if (!announced) return announced.error();
  UploadRecord pending = std::move(*announced);
  pending.sha256 = sha256;
  pending.worker = uploads_.worker_;
  pending.unfinished = file_->unfinishedName();
  user_ = pending.user;
  const auto latest = examine(storage, pending);
  if (!latest) return latest.error();
  if (pending.size > 0) {
    if (auto room = checkFloorAt(uploads_.database_, order_.place.minFree); !room) {
      return room.error();
    }
  }
  const auto id = storage.announceUpload(pending);
  if (!id) return id.error();
  if (auto kept = keepIn(storage, *id); !kept) return kept.error();
  return Announced{*id, isThere(*latest), isOf(*latest, pending.user)};
}

Result<void> FolderUpload::keepIn(Storage& storage, std::int64_t pending) const {
  if (!order_.keep) return {};
  return storage.keepVersion(pending, old_ && old_->sha256 != sha256_ ? old_ : std::nullopt,
                             wallNow());
}

/// Before the file is replaced, while this can still be refused.
Result<void> FolderUpload::pruneIn(Storage& storage) const {
  if (!order_.keep || !old_) return {};
  auto pruned = storage.pruneVersions(id_, order_.keep->mount, order_.keep->rules, wallNow());
  if (!pruned) return pruned;
  const auto swept = storage.sweepContents({}, kSweptParts);
  return swept ? Result<void>() : swept.error();
}

/// Runs under the storage's lock, so that writers take turns, those of other workers too.
Result<void> FolderUpload::settleIn(Storage& storage) {
  if (order_.keep && !oldFile_.isStillSo(file_->folder(), file_->name())) {
    oldHasChanged_ = true;
    return Error{ErrorCode::kBusy, "the file that would be replaced keeps changing"};
  }
  if (auto pruned = pruneIn(storage); !pruned) return pruned;
  const auto before = storage.latestUpload(order_.host, request_.path);
  if (!before) return before.error();
  if (order_.bounds.ownOnly) file_->setMayReplace(isOf(*before, user_));
  if (isDelete()) {
    if (auto removed = file_->remove(); !removed) return removed.error();
  } else {
    const auto replaced = file_->publish();
    if (!replaced) return replaced.error();
    outcome_ = *replaced ? UploadOutcome::kReplaced : UploadOutcome::kStored;
  }
  if (outcome_ != UploadOutcome::kStored) {
    previousSha256_ = old_               ? old_->sha256
                      : isThere(*before) ? (*before)->sha256
                                         : file_->oldSha256();
  }
  auto settled = storage.settleUpload(id_, outcome_, previousSha256_);
  if (settled) {
    uploads_.folders_.add(file_);
    return {};
  }
  if (!file_->takeBack()) uploads_.folders_.add(file_);  // the rest of the group is committed
  return settled.error();
}

/// Settles the record of a published change; false: the name has changed again.
Result<bool> FolderUpload::settleNamed(Storage& storage) const {
  if (!file_->isStillSo()) {
    auto dropped = storage.dropUpload(id_);
    return dropped ? Result<bool>(false) : dropped.error();
  }
  auto settled = storage.settleUpload(id_, outcome_, previousSha256_);
  if (settled) return true;
  if (settled.error().code != ErrorCode::kNotFound) return settled.error();
  // The commit that failed had reached the disk.
  const auto latest = storage.latestUpload(order_.host, request_.path);
  if (!latest) return latest.error();
  return *latest && (*latest)->sha256 == sha256_;
}

bool FolderUpload::mayReplace(const Latest& latest, const std::string& user) const {
  return isOf(latest, user);
}

/// Drops the pending record; if the change was undone, that must be on the disk first.
void FolderUpload::abandon() {
  if (id_ == 0 || keepRecord_) return;
  uploads_.storage_.submit(
      [id = id_, file = file_](Storage& storage) -> Result<void> {
        if (file->wasTakenBack() && ::fsync(file->folder()) != 0) {
          return errnoError("fsync folder", errno);
        }
        return storage.dropUpload(id);
      },
      [](Result<void> dropped) {
        if (dropped) return;
        spdlog::warn("the record of an upload that failed stays pending until its worker ends: {}",
                     logQuote(dropped.error().message));
      });
}

}  // namespace egalaxyd
