#include "worker/upload/uploads.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/sha256.h"
#include "common/base/units.h"
#include "common/system/log.h"
#include "common/wire/media_type.h"
#include "worker/file/file_body.h"
#include "worker/site/answers.h"
#include "worker/upload/free_floor.h"
#include "worker/upload/upload_rules.h"

namespace egalaxyd {
namespace {

/// Threads that write and fsync, so that uploads share commits of the file system's journal. More
/// of them are woken for less each.
constexpr std::size_t kLaneThreads = 4;
constexpr std::size_t kLaneQueue = 4096;
/// Refusals that are recorded at once, and then per second.
constexpr double kRefusalBurst = 60;
constexpr double kRefusalsPerSecond = 1;
/// Between attempts to settle the records of files that have their names.
constexpr auto kSettlePause = std::chrono::milliseconds(250);
/// How long a client waits for that.
constexpr auto kSettlePatience = std::chrono::seconds(10);

Response refusalOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return Response::failure(Status::kNotFound, "There is no such place");
    case ErrorCode::kExists:
      return Response::failure(Status::kPermanentFailure, "What has this name is no file");
    case ErrorCode::kInvalid:
      return Response::failure(Status::kBadRequest, "This name cannot be used");
    case ErrorCode::kPermission:
      return Response::failure(Status::kPermanentFailure, "This cannot be written");
    case ErrorCode::kNoSpace:
      return Response::failure(Status::kTemporaryFailure, "There is no room for this now");
    case ErrorCode::kBusy:
      return busyFailure();
    case ErrorCode::kIo:
      break;
  }
  return Response::failure(Status::kTemporaryFailure, "The upload failed, try again");
}

/// What the operator should hear of.
bool isTrouble(const Error& error) {
  return error.code == ErrorCode::kPermission || error.code == ErrorCode::kNoSpace ||
         error.code == ErrorCode::kIo;
}

std::string readUrl(const Request& request) {
  std::string url = "gemini://" + hostInUrl(request.host);
  if (request.readPort != kGeminiPort) url += fmt::format(":{}", request.readPort);
  return url + percentEncodePath(request.path);
}

}  // namespace

/// One upload; keeps itself alive through the callbacks that it waits for.
class Uploads::Task : public std::enable_shared_from_this<Task> {
 public:
  Task(Uploads& uploads, UploadOrder order, Request request, Responder reply)
      : uploads_(uploads),
        order_(std::move(order)),
        request_(std::move(request)),
        reply_(std::move(reply)),
        file_(std::make_shared<UploadFile>(order_.place)) {}

  void start() {
    if (isDelete()) return findExisting();
    if (!order_.isBounded()) return readBody();
    request_.upload->size > kRequestBodyChunk ? reserve(&Task::readBody) : look();
  }

 private:
  /// Why the storage lets an upload not go on.
  enum class Obstacle { kNone, kUserIsFull, kAllIsFull, kTooManyFiles, kNotTheirs };

  struct Announced {
    std::int64_t id;
    bool fileIsRecorded;  ///< the file that has the name now
    bool isTheirs;        ///< and by this uploader
  };

  /// The storage thread's, and the loop's while that has no job of this upload.
  struct Findings {
    Obstacle obstacle = Obstacle::kNone;
    std::string user;
    // What it finds out when it names the file.
    UploadOutcome outcome = UploadOutcome::kDeleted;
    std::string previousSha256;
  };

  bool isDelete() const { return request_.upload->size == 0; }

  /// `work()` on the lane, then `next` here; a failure ends the upload.
  template <class Work, class Next>
  void onLane(Work work, Next next) {
    uploads_.lane_.submit(std::move(work),
                          [self = shared_from_this(), next = std::move(next)](Result<void> done) {
                            if (!done) return self->fail(done.error());
                            next(*self);
                          });
  }

  /// Before any byte is taken; what counts in the end is the announcement.
  void look() {
    uploads_.storage_.submitRead(
        [names = names(), bounds = order_.bounds, record = record(),
         findings = findings_](Storage& storage) mutable -> Result<bool> {
          if (!names.first.empty()) {
            auto user = storage.findUser(names.first, names.second);
            if (!user) return user.error();
            record.user = user->value_or(names.first);  // a new one has nothing yet
          }
          const auto before = examine(storage, bounds, record, *findings);
          if (!before) return before.error();
          return isOf(*before, record.user);
        },
        [self = shared_from_this()](Result<bool> isTheirs) {
          if (!isTheirs) return self->fail(isTheirs.error());
          if (self->order_.bounds.ownOnly) self->file_->setMayReplace(*isTheirs);
          self->readBody();
        });
  }

  /// Whether the file that `latest` tells of is there by its record, and the user's. One without a
  /// certificate is nobody's.
  static bool isOf(const std::optional<UploadRecord>& latest, const std::string& user) {
    return latest && !latest->sha256.empty() && !user.empty() && latest->user == user;
  }

  /// The latest record of the file, where nothing keeps `record` from being announced.
  static Result<std::optional<UploadRecord>> examine(Storage& storage, const UploadBounds& bounds,
                                                     const UploadRecord& record,
                                                     Findings& findings) {
    auto latest = storage.latestUpload(record.host, record.path);
    if (!latest) return latest;
    const bool isThere = *latest && !(*latest)->sha256.empty();
    if (bounds.ownOnly && isThere && !isOf(*latest, record.user)) {
      findings.obstacle = Obstacle::kNotTheirs;
    } else if (bounds.quota && record.size > 0) {
      const auto verdict = measureUpload(storage, record, *bounds.quota);
      if (!verdict) return verdict.error();
      findings.obstacle = obstacleOf(*verdict);
    }
    if (findings.obstacle == Obstacle::kNone) return latest;
    return Error{ErrorCode::kInvalid, "an upload that may not be announced"};
  }
  static Obstacle obstacleOf(QuotaVerdict verdict) {
    switch (verdict) {
      case QuotaVerdict::kFits:
        return Obstacle::kNone;
      case QuotaVerdict::kUserIsFull:
        return Obstacle::kUserIsFull;
      case QuotaVerdict::kAllIsFull:
        return Obstacle::kAllIsFull;
      case QuotaVerdict::kTooManyFiles:
        return Obstacle::kTooManyFiles;
    }
    return Obstacle::kNone;
  }

  /// Announces what is not there yet, then goes on with `next`.
  void reserve(void (Task::*next)()) {
    awaited_ = 1;
    next_ = next;
    announce("");
  }

  void readBody() {
    request_.body->read([self = shared_from_this()](Result<std::string> bytes) {
      if (!bytes) return self->failBody(bytes.error());
      if (bytes->empty()) return self->finish();
      self->received_ += bytes->size();
      self->sum_.add(*bytes);
      self->chunk_ += *bytes;
      // The end is asked for at once: a small body takes one trip through the lane.
      if (self->received_ == self->request_.upload->size) return self->readBody();
      const bool first = self->order_.isBounded() && self->id_ == 0;
      first ? self->reserve(&Task::append) : self->append();
    });
  }

  void append() {
    awaited_ = 1;
    next_ = &Task::readBody;
    write(false);
  }

  /// The content's way to the disk and the record's need not wait for each other, unless the record
  /// is to reserve the room.
  void finish() {
    sha256_ = sum_.hex();
    if (order_.isBounded() && id_ == 0) {
      awaited_ = 1;
      next_ = &Task::writeLast;
      return announce(sha256_);
    }
    awaited_ = 2;
    next_ = &Task::nameFile;
    write(true);
    id_ == 0 ? announce(sha256_) : complete();
  }

  void writeLast() {
    awaited_ = 1;
    next_ = &Task::nameFile;
    write(true);
  }

  /// Takes what was received to the file; `last`: that is all of it.
  void write(bool last) {
    // Shared, so that it is still here where the record has to come first.
    const auto chunk = std::make_shared<std::string>(std::exchange(chunk_, {}));
    uploads_.lane_.submit(
        [file = file_, chunk, last]() -> Result<void> {
          auto appended = file->append(*chunk);
          return appended && last ? file->finish() : appended;
        },
        [self = shared_from_this(), chunk, last](Result<void> written) {
          if (!self->file_->needsName()) return self->join(std::move(written));
          self->chunk_ = std::move(*chunk);
          self->recordFirst(last);
        });
  }

  /// The content will have a name before it is whole, and only a record tells of it after a crash.
  /// At the end, the record is on its way already.
  void recordFirst(bool last) {
    rewrite_ = true;
    if (!last && id_ == 0) {
      ++awaited_;
      announce("");
    }
    join({});
  }

  void findExisting() {
    onLane([file = file_] { return file->findExisting(); },
           [](Task& self) {
             self.awaited_ = 1;
             self.next_ = &Task::nameFile;
             self.announce("");
           });
  }

  /// Once both have ended: on, or back.
  void join(Result<void> done) {
    if (!done && !failure_) failure_ = std::move(done).error();
    if (--awaited_ > 0) return;
    if (!failure_ && std::exchange(rewrite_, false)) {
      file_->allowName();
      awaited_ = 1;
      return write(next_ == &Task::nameFile);
    }
    if (!failure_) return (this->*next_)();
    fail(*failure_);
  }

  void nameFile() { recorded_ || !file_->hasOld() ? settle() : sumOld(); }

  /// Of a file that no record describes: somebody else put it there.
  void sumOld() {
    uploads_.lane_.submit([file = file_] { return file->sumOld(); },
                          [self = shared_from_this()](Result<void> done) {
                            done ? self->settle() : self->fail(done.error());
                          });
  }

  /// A certificate's two names; empty without one.
  std::pair<std::string, std::string> names() const {
    if (!request_.identity) return {};
    return {request_.identity->fingerprint, request_.identity->keyFingerprint};
  }
  UploadRecord record() const {
    UploadRecord record = uploads_.recordOf(order_.host, request_, order_.mime);
    record.blocks = isDelete() ? 0 : order_.blocks;
    return record;
  }

  /// `sha256`: of the new content; "" when there is none.
  void announce(std::string sha256) {
    UploadRecord pending = record();
    pending.sha256 = std::move(sha256);
    pending.worker = uploads_.worker_;
    pending.unfinished = file_->unfinishedName();
    uploads_.storage_.submit(
        [record = std::move(pending), names = names(), bounds = order_.bounds, findings = findings_,
         minFree = order_.place.minFree,
         database = &uploads_.database_](Storage& storage) mutable -> Result<Announced> {
          if (!names.first.empty()) {
            auto user = storage.resolveUser(names.first, names.second, record.time);
            if (!user) return user.error();
            record.user = std::move(*user);
          }
          findings->user = record.user;
          const auto before = examine(storage, bounds, record, *findings);
          if (!before) return before.error();
          if (record.size > 0) {
            if (auto room = checkFloorAt(*database, minFree); !room) return room.error();
          }
          const auto id = storage.announceUpload(record);
          if (!id) return id.error();
          return Announced{*id, *before && !(*before)->sha256.empty(), isOf(*before, record.user)};
        },
        [self = shared_from_this()](Result<Announced> announced) {
          if (!announced) return self->join(announced.error());
          self->id_ = announced->id;
          self->recorded_ = announced->fileIsRecorded;
          if (self->order_.bounds.ownOnly) self->file_->setMayReplace(announced->isTheirs);
          self->join({});
        });
  }

  /// Of a record that was announced before its content was whole.
  void complete() {
    uploads_.storage_.submit(
        [id = id_, sum = sha256_](Storage& storage) { return storage.completeUpload(id, sum); },
        [self = shared_from_this()](Result<void> done) { self->join(std::move(done)); });
  }

  /// The storage's lock makes writers take turns, those of other workers too.
  void settle() {
    uploads_.storage_.submit(
        [id = id_, file = file_, findings = findings_, folders = &uploads_.folders_,
         host = order_.host, path = request_.path, isDelete = isDelete(),
         ownOnly = order_.bounds.ownOnly](Storage& storage) -> Result<void> {
          auto before = storage.latestUpload(host, path);
          if (!before) return before.error();
          if (ownOnly) file->setMayReplace(isOf(*before, findings->user));
          if (isDelete) {
            if (auto removed = file->remove(); !removed) return removed.error();
          } else {
            const auto replaced = file->publish();
            if (!replaced) return replaced.error();
            findings->outcome = *replaced ? UploadOutcome::kReplaced : UploadOutcome::kStored;
          }
          const bool hadRecord = *before && !(*before)->sha256.empty();
          const bool hadFile = findings->outcome != UploadOutcome::kStored;
          if (hadFile) findings->previousSha256 = hadRecord ? (*before)->sha256 : file->oldSha256();
          auto settled = storage.settleUpload(id, findings->outcome, findings->previousSha256);
          if (settled) {
            folders->add(file);
            return {};
          }
          if (!file->takeBack()) folders->add(file);  // the rest of the group goes on
          return settled.error();
        },
        [self = shared_from_this()](Result<void> settled) {
          if (settled) {
            return self->succeed();
          }
          self->afterFailedSettling(settled.error());
        });
  }

  void afterFailedSettling(const Error& error) {
    if (file_->syncHasFailed()) {
      spdlog::error(
          "the record of an upload whose fsync failed stays pending until its worker ends");
      keepRecord_ = true;
      if (file_->isPublished()) return answerUnknown();
    }
    if (!file_->isPublished()) return fail(error);
    spdlog::error(
        "the record of an upload that has its name could not be written: {}; it is tried "
        "again",
        logQuote(error.message));
    waitsSince_ = Clock::now();
    uploads_.settleLater(shared_from_this());
  }

 public:
  /// Another attempt to settle the record of a file that has its name.
  void settleAgain() {
    uploads_.storage_.submit(
        [id = id_, file = file_, findings = findings_, host = order_.host, path = request_.path,
         sum = sha256_](Storage& storage) -> Result<bool> {
          if (!file->isStillSo()) {
            auto dropped = storage.dropUpload(id);
            return dropped ? Result<bool>(false) : dropped.error();
          }
          auto settled = storage.settleUpload(id, findings->outcome, findings->previousSha256);
          if (settled) return true;
          if (settled.error().code != ErrorCode::kNotFound) return settled.error();
          // The commit that failed had reached the disk.
          const auto latest = storage.latestUpload(host, path);
          if (!latest) return latest.error();
          return *latest && (*latest)->sha256 == sum;
        },
        [self = shared_from_this()](Result<bool> settled) { self->onSettledAgain(settled); });
  }

 private:
  void onSettledAgain(const Result<bool>& settled) {
    if (settled) {
      spdlog::info("the record of an upload that has its name is written now");
      keepRecord_ = true;
      return *settled ? succeed() : fail({ErrorCode::kIo, "another upload has replaced it since"});
    }
    if (Clock::now() - waitsSince_ > kSettlePatience) answerUnknown();
    uploads_.settleLater(shared_from_this());
  }

  void answerUnknown() {
    if (std::exchange(answered_, true)) return;
    std::move(reply_).send(
        Response::failure(Status::kTemporaryFailure,
                          "It is not known whether this was stored: look before you try again"));
  }

  /// Of a change that was undone, once that is on the disk.
  void dropRecord() {
    uploads_.storage_.submit(
        [id = id_, file = file_](Storage& storage) -> Result<void> {
          if (file->wasTakenBack() && ::fsync(file->folder()) != 0) {
            return errnoError("fsync folder", errno);
          }
          return storage.dropUpload(id);
        },
        [](Result<void> dropped) {
          if (!dropped) complainOfPending(dropped.error());
        });
  }
  static void complainOfPending(const Error& error) {
    spdlog::warn("the record of an upload that failed stays pending until its worker ends: {}",
                 logQuote(error.message));
  }

  void succeed() {
    uploads_.counters_.add(isDelete() ? Counter::kUploadsDeleted : Counter::kUploadsStored);
    if (std::exchange(answered_, true)) return;
    if (isDelete()) return std::move(reply_).send(Response::gemtext("It has been deleted.\n"));
    uploads_.counters_.add(Counter::kUploadBytes, request_.upload->size);
    std::move(reply_).send(Response::redirect(readUrl(request_), false));
  }

  Response refusalOfObstacle() const {
    switch (findings_->obstacle) {
      case Obstacle::kUserIsFull:
        return Response::failure(Status::kPermanentFailure,
                                 fmt::format("Your uploads here would exceed {}",
                                             sizeText(order_.bounds.quota->userBytes)));
      case Obstacle::kAllIsFull:
        return Response::failure(Status::kTemporaryFailure,
                                 fmt::format("All uploads here would exceed {}",
                                             sizeText(order_.bounds.quota->allBytes)));
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

  void failBody(const Error& error) {
    refuse(Response::failure(Status::kBadRequest, error.message));
  }

  void fail(const Error& error) {
    if (findings_->obstacle != Obstacle::kNone) return refuse(refusalOfObstacle());
    if (order_.bounds.ownOnly && error.code == ErrorCode::kExists && file_->hasOld()) {
      return refuse(refusalOfObstacle());
    }
    if (file_->wantsTooManyFolders()) {
      return refuse(Response::failure(
          Status::kBadRequest,
          fmt::format("At most {} folders are made for an upload", order_.place.newFolders)));
    }
    if (isTrouble(error)) {
      uploads_.troubles_.log({error.code, "an upload failed: " + error.message +
                                              "; look at the folder's owner and room"});
    }
    refuse(refusalOf(error));
  }

  void refuse(Response refusal) {
    if (std::exchange(answered_, true)) return;
    if (id_ != 0 && !keepRecord_) dropRecord();
    // Not here: what is unfinished is removed with it, gigabytes maybe.
    static_cast<void>(uploads_.lane_.run([file = std::move(file_)] {}));
    uploads_.refuse(order_.host, request_, std::move(refusal), std::move(reply_));
  }

  Uploads& uploads_;
  const UploadOrder order_;
  Request request_;
  Responder reply_;
  std::shared_ptr<UploadFile> file_;
  std::string chunk_;  ///< received, not yet on the lane
  std::uint64_t received_ = 0;
  Sha256 sum_;                      ///< of what was received
  std::string sha256_;              ///< of all of it; "" before that, and of a deletion
  void (Task::*next_)() = nullptr;  ///< once what is awaited has ended
  bool rewrite_ = false;            ///< chunk_ once more: the record is there now
  int awaited_ = 0;                 ///< of the file's fsync and the record's commit
  std::optional<Error> failure_;    ///< of either
  std::int64_t id_ = 0;             ///< of the pending record; 0: there is none
  bool recorded_ = false;           ///< the file that has the name: its sum is known
  const std::shared_ptr<Findings> findings_ = std::make_shared<Findings>();
  Clock::time_point waitsSince_{};  ///< with its name, and without its record
  bool keepRecord_ = false;         ///< the pending one, or there is none any more
  bool answered_ = false;
};

Uploads::Uploads(EventLoop& loop, StorageThread& storage, FolderSync& folders, WorkerSlot& counters,
                 AddressMask addressMask, std::int64_t worker, std::filesystem::path database)
    : storage_(storage),
      folders_(folders),
      counters_(counters),
      addressMask_(addressMask),
      worker_(worker),
      database_(std::move(database)),
      mayRemember_(kRefusalBurst),
      lane_(loop, kLaneThreads, kLaneQueue),
      settleTimer_(loop, [this] { settleNow(); }) {}

Uploads::~Uploads() = default;

void Uploads::carryOut(UploadOrder order, Request request, Responder reply) {
  std::make_shared<Task>(*this, std::move(order), std::move(request), std::move(reply))->start();
}

void Uploads::settleLater(std::shared_ptr<Task> task) {
  if (left_) return;
  unsettled_.push_back(std::move(task));
  if (unsettled_.size() == 1) settleTimer_.setAfter(kSettlePause);
}

void Uploads::settleNow() {
  for (const auto& task : std::exchange(unsettled_, {})) task->settleAgain();
}

void Uploads::leave() {
  left_ = true;
  unsettled_.clear();
  settleTimer_.cancel();
}

void Uploads::offerNew(UploadPlace place, const std::string& host, Request request,
                       Responder reply) {
  place.createFolders = false;
  lane_.submit([place = std::move(place)] { return UploadFile(place).findExisting(); },
               [this, request = std::move(request), reply = std::move(reply),
                host](Result<void> found) mutable {
                 if (found) return std::move(reply).send(busyFailure());  // it has come meanwhile
                 if (found.error().code == ErrorCode::kNotFound) {
                   return std::move(reply).send(Response::gemtext(""));
                 }
                 refuse(host, request, refusalOf(found.error()), std::move(reply));
               });
}

void Uploads::refuse(const std::string& host, const Request& request, Response refusal,
                     Responder reply) {
  counters_.add(Counter::kUploadsRefused);
  remember(host, request, uploadType(request), refusal.meta);
  std::move(reply).send(std::move(refusal));
}

void Uploads::remember(const std::string& host, const Request& request, const std::string& mime,
                       std::string why) {
  const Clock::time_point now = Clock::now();
  const std::chrono::duration<double> since = now - std::exchange(remembered_, now);
  mayRemember_ = std::min(kRefusalBurst, mayRemember_ + since.count() * kRefusalsPerSecond);
  if (mayRemember_ < 1) return;
  mayRemember_ -= 1;
  // The type is why some are refused.
  UploadRecord record = recordOf(host, request, isMediaType(mime) ? mime : "");
  record.outcome = UploadOutcome::kRefused;
  record.why = std::move(why);
  const std::string certificate = request.identity ? request.identity->fingerprint : "";
  const std::string key = request.identity ? request.identity->keyFingerprint : "";
  storage_.submit(
      [record, certificate, key](Storage& storage) mutable -> Result<std::int64_t> {
        if (!certificate.empty()) {
          auto user = storage.findUser(certificate, key);
          if (!user) return user.error();
          record.user = user->value_or("");
        }
        return storage.recordUpload(record);
      },
      [](Result<std::int64_t> recorded) {
        if (!recorded) {
          spdlog::debug("a refused upload was not recorded: {}",
                        logQuote(recorded.error().message));
        }
      });
}

UploadRecord Uploads::recordOf(const std::string& host, const Request& request,
                               std::string mime) const {
  UploadRecord record;
  record.time = wallNow();
  record.protocol = request.protocol == Protocol::kSpartan ? "spartan" : "titan";
  record.host = host;
  record.path = request.path;
  record.client = request.client.text(addressMask_);
  record.mime = std::move(mime);
  record.size = request.upload->size;
  return record;
}

}  // namespace egalaxyd
