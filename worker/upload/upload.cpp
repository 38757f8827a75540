#include "worker/upload/upload.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <tuple>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "common/system/log.h"
#include "worker/site/answers.h"
#include "worker/upload/free_floor.h"
#include "worker/upload/upload_failure.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

/// How long a client waits for the record of a file that is already published.
constexpr auto kSettlePatience = std::chrono::seconds(10);
/// How long the file that is to be replaced is read again and again, as others change it meanwhile.
constexpr auto kReadPatience = std::chrono::seconds(10);
/// Parts of forgotten versions that each upload frees, many times what it keeps at the usual size.
constexpr std::size_t kSweptParts = 64;

std::string urlOf(const Request& request, const std::string& path) {
  std::string url = "gemini://" + hostInUrl(request.host);
  if (request.readPort != kGeminiPort) url += fmt::format(":{}", request.readPort);
  return url + percentEncodePath(path);
}

/// Whether the file exists, according to its latest record.
bool isThere(const std::optional<UploadRecord>& latest) {
  return latest && !latest->sha256.empty();
}

/// And whether it is the user's. A file that was uploaded without a certificate is nobody's.
bool isOf(const std::optional<UploadRecord>& latest, const std::string& user) {
  return isThere(latest) && !user.empty() && latest->user == user;
}

}  // namespace

Upload::Upload(Uploads& uploads, UploadOrder order, Request request, Responder reply)
    : uploads_(uploads),
      order_(std::move(order)),
      request_(std::move(request)),
      reply_(std::move(reply)),
      file_(std::make_shared<UploadFile>(order_.place)) {}

Task<void> Upload::carryOut() {
  Result<void> done;
  if (isDelete()) {
    done = co_await remove();
  } else {
    done = co_await store();
  }
  if (done) co_return succeed();
  giveUp(done.error());
}

Task<Result<void>> Upload::store() {
  if (order_.isBounded()) {
    if (auto allowed = co_await askFirst(); !allowed) co_return allowed;
  }
  if (auto received = co_await receive(); !received) co_return received;
  co_return co_await settle();
}

Task<Result<void>> Upload::remove() {
  const auto find = [this] { return file_->findExisting(); };
  if (auto found = co_await uploads_.lane_.run(find); !found) co_return found;
  if (auto read = co_await readOld(); !read) co_return read;
  if (auto announced = co_await announce(""); !announced) co_return announced;
  co_return co_await settle();
}

/// Checks the records before any byte is taken. An upload of more than one chunk is announced now,
/// which reserves its room; a smaller one is announced, and checked again, when it has come.
Task<Result<void>> Upload::askFirst() {
  if (request_.upload->size > kRequestBodyChunk) co_return co_await announce("");
  const auto look = [this](Storage& storage) { return lookIn(storage); };
  const auto isTheirs = co_await uploads_.storage_.read(look);
  if (!isTheirs) co_return isTheirs.error();
  if (order_.bounds.ownOnly) file_->setMayReplace(*isTheirs);
  co_return Result<void>();
}

/// Writes all of the body to the disk, and commits a pending record.
Task<Result<void>> Upload::receive() {
  std::uint64_t received = 0;
  std::string chunk;
  for (;;) {
    const auto bytes = co_await request_.body->read();
    if (!bytes) {
      refusal_ = Response::failure(Status::kBadRequest, bytes.error().message);
      co_return bytes.error();
    }
    if (bytes->empty()) co_return co_await complete(chunk);
    sum_.add(*bytes);
    chunk += *bytes;
    received += bytes->size();
    // Reads on to the end before it writes: a small body takes one trip through the lane.
    if (received == request_.upload->size) continue;
    if (auto appended = co_await append(chunk); !appended) co_return appended;
    chunk.clear();
  }
}

Task<Result<void>> Upload::append(const std::string& chunk) {
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
Task<Result<void>> Upload::complete(const std::string& rest) {
  sha256_ = sum_.hex();
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
  co_return written ? recorded : written;
}

/// `last`: the content is complete with this chunk.
Task<Result<void>> Upload::write(const std::string& chunk, bool last) {
  const auto append = [&]() -> Result<void> {
    auto appended = file_->append(chunk);
    return appended && last ? file_->finish() : appended;
  };
  co_return co_await uploads_.lane_.run(append);
}

/// Commits the pending record; `sha256`: of the new content, "" if there is none or not yet known.
Task<Result<void>> Upload::announce(std::string sha256) {
  const auto announceIt = [&](Storage& storage) { return announceIn(storage, sha256); };
  const auto announced = co_await uploads_.storage_.write(announceIt);
  if (!announced) co_return announced.error();
  id_ = announced->id;
  recorded_ = announced->fileIsRecorded;
  if (order_.bounds.ownOnly) file_->setMayReplace(announced->isTheirs);
  co_return Result<void>();
}

/// Adds the content's sum to the pending record.
Task<Result<void>> Upload::recordWhole() {
  if (id_ == 0) co_return co_await announce(sha256_);
  const auto completeIt = [this](Storage& storage) {
    auto completed = storage.completeUpload(id_, sha256_);
    return completed ? keepIn(storage, id_) : completed;
  };
  co_return co_await uploads_.storage_.write(completeIt);
}

/// Reads the file that has the name for old_: a part, or all of it, in the first job. What it holds
/// must be committed, with the pending record, before that file goes.
Task<Result<void>> Upload::readOld() {
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

Task<Result<void>> Upload::appendOld(const std::string& part) {
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
Task<Result<void>> Upload::lookAgain() {
  oldHasChanged_ = false;
  if (auto read = co_await readOld(); !read) co_return read;
  const auto keep = [this](Storage& storage) { return keepIn(storage, id_); };
  co_return co_await uploads_.storage_.write(keep);
}

/// Publishes or removes the file, and settles the record.
Task<Result<void>> Upload::settle() {
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
Task<Result<void>> Upload::settleAgain(Error error) {
  if (file_->syncHasFailed()) {
    spdlog::error("the record of an upload whose fsync failed stays pending until its worker ends");
    keepRecord_ = true;
    if (file_->isPublished()) answerUnknown();
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
    if (Clock::now() > patience) answerUnknown();
  }
  answerUnknown();
  co_return error;
}

Result<bool> Upload::lookIn(Storage& storage) {
  UploadRecord planned = record();
  if (const auto [certificate, key] = names(); !certificate.empty()) {
    auto user = storage.findUser(certificate, key);
    if (!user) return user.error();
    planned.user = user->value_or(certificate);  // a new user has nothing yet
  }
  const auto latest = examine(storage, planned);
  if (!latest) return latest.error();
  return isOf(*latest, planned.user);
}

Result<Upload::Announced> Upload::announceIn(Storage& storage, const std::string& sha256) {
  UploadRecord pending = record();
  pending.sha256 = sha256;
  pending.worker = uploads_.worker_;
  pending.unfinished = file_->unfinishedName();
  if (const auto [certificate, key] = names(); !certificate.empty()) {
    auto user = storage.resolveUser(certificate, key, pending.time,
                                    claimedName(request_.identity->commonName));
    if (!user) return user.error();
    pending.user = std::move(*user);
  }
  if (order_.restoredFor) pending.user = *order_.restoredFor;
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

/// The latest record of the file; an Error, with obstacle_ set, if `record` may not be announced.
Result<Upload::Latest> Upload::examine(Storage& storage, const UploadRecord& record) {
  auto latest = storage.latestUpload(record.host, record.path);
  if (!latest) return latest;
  const UploadBounds& bounds = order_.bounds;
  if (bounds.ownOnly && isThere(*latest) && !isOf(*latest, record.user)) {
    obstacle_ = Obstacle::kNotTheirs;
  } else if (bounds.quota && record.size > 0) {
    const auto verdict = measureUpload(storage, record, *bounds.quota);
    if (!verdict) return verdict.error();
    switch (*verdict) {
      case QuotaVerdict::kFits:
        break;
      case QuotaVerdict::kUserIsFull:
        obstacle_ = Obstacle::kUserIsFull;
        break;
      case QuotaVerdict::kAllIsFull:
        obstacle_ = Obstacle::kAllIsFull;
        break;
      case QuotaVerdict::kTooManyFiles:
        obstacle_ = Obstacle::kTooManyFiles;
        break;
    }
  }
  if (obstacle_ == Obstacle::kNone) return latest;
  return Error{ErrorCode::kInvalid, "an upload that may not be announced"};
}

Result<void> Upload::keepIn(Storage& storage, std::int64_t pending) const {
  if (!order_.keep) return {};
  return storage.keepVersion(pending, old_ && old_->sha256 != sha256_ ? old_ : std::nullopt,
                             wallNow());
}

/// Before the file is replaced, while this can still be refused.
Result<void> Upload::pruneIn(Storage& storage) const {
  if (!order_.keep || !old_) return {};
  auto pruned = storage.pruneVersions(id_, order_.keep->mount, order_.keep->rules, wallNow());
  if (!pruned) return pruned;
  const auto swept = storage.sweepContents({}, kSweptParts);
  return swept ? Result<void>() : swept.error();
}

/// Runs under the storage's lock, so that writers take turns, those of other workers too.
Result<void> Upload::settleIn(Storage& storage) {
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
Result<bool> Upload::settleNamed(Storage& storage) const {
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

/// The certificate's two fingerprints; empty without a certificate.
std::pair<std::string, std::string> Upload::names() const {
  if (!request_.identity) return {};
  return {request_.identity->fingerprint, request_.identity->keyFingerprint};
}

UploadRecord Upload::record() const {
  UploadRecord record = uploads_.recordOf(order_.host, request_, order_.mime);
  record.blocks = isDelete() ? 0 : order_.blocks;
  if (order_.restoredFor) {
    record.protocol = "restore";
    record.client.clear();
  }
  return record;
}

void Upload::succeed() {
  uploads_.counters_.add(isDelete() ? Counter::kUploadsDeleted : Counter::kUploadsStored);
  if (std::exchange(answered_, true)) return;
  if (isDelete()) {
    return std::move(reply_).send(Response::gemtext(
        "It has been deleted.\n=> " +
        urlOf(request_, request_.path.substr(0, request_.path.rfind('/') + 1)) + " Go on\n"));
  }
  uploads_.counters_.add(Counter::kUploadBytes, request_.upload->size);
  std::move(reply_).send(Response::redirect(urlOf(request_, order_.readPath), false));
}

void Upload::answerUnknown() {
  if (std::exchange(answered_, true)) return;
  std::move(reply_).send(
      Response::failure(Status::kTemporaryFailure,
                        "It is not known whether this was stored: look before you try again"));
}

void Upload::giveUp(const Error& error) {
  if (std::exchange(answered_, true)) return;
  Response refusal = refusalOf(error);
  if (id_ != 0 && !keepRecord_) dropRecord();
  // Destroyed on the lane, since that removes the unfinished content, gigabytes maybe.
  uploads_.lane_.submit([file = std::move(file_)] { return Result<void>(); }, [](Result<void>) {});
  uploads_.refuse(order_.host, request_, std::move(refusal), std::move(reply_));
}

Response Upload::refusalOf(const Error& error) {
  if (refusal_) return std::move(*refusal_);
  if (obstacle_ != Obstacle::kNone) return refusalOfObstacle();
  if (order_.bounds.ownOnly && error.code == ErrorCode::kExists && file_->hasOld()) {
    return refusalOfObstacle();
  }
  if (file_->wantsTooManyFolders()) {
    return Response::failure(
        Status::kPermanentFailure,
        fmt::format("At most {} folders are made for an upload", order_.place.newFolders));
  }
  if (isOperatorsBusiness(error)) {
    uploads_.troubles_.log({error.code, "an upload failed: " + error.message +
                                            "; look at the folder's owner and room"});
  }
  return uploadFailure(error);
}

Response Upload::refusalOfObstacle() const {
  switch (obstacle_) {
    case Obstacle::kUserIsFull:
      return Response::failure(Status::kPermanentFailure,
                               fmt::format("Your uploads here would exceed {}",
                                           sizeText(order_.bounds.quota->userBytes)));
    case Obstacle::kAllIsFull:
      return Response::failure(
          Status::kTemporaryFailure,
          fmt::format("All uploads here would exceed {}", sizeText(order_.bounds.quota->allBytes)));
    case Obstacle::kTooManyFiles:
      return Response::failure(Status::kTemporaryFailure,
                               "There are as many files here as there may be");
    case Obstacle::kNotTheirs:
    case Obstacle::kNone:
      break;
  }
  return Response::failure(Status::kPermanentFailure,
                           "This file is not yours: only who uploaded it may change it");
}

/// Drops the pending record; if the change was undone, that must be on the disk first.
void Upload::dropRecord() {
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
