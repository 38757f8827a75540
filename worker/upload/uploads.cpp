#include "worker/upload/uploads.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/limits.h"
#include "common/log.h"
#include "common/media_type.h"
#include "common/path.h"
#include "common/sha256.h"
#include "common/units.h"
#include "worker/file/file_body.h"
#include "worker/site/redirect_site.h"
#include "worker/upload/crash_point.h"
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

WallTime wallNow() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

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
    if (isDelete()) return findVictim();
    if (!order_.quota) return readBody();
    checkQuota();
  }

 private:
  struct Announced {
    std::int64_t id;
    bool fileIsRecorded;  ///< the file that has the name now
  };

  bool isDelete() const { return request_.upload->size == 0; }

  /// `work()` on the lane, then `next` here; a failure ends the upload.
  template <class Work, class Next>
  void onLane(Work work, Next next) {
    const bool queued = uploads_.lane_.submit(
        std::move(work), [self = shared_from_this(), next = std::move(next)](Result<void> done) {
          if (!done) return self->fail(done.error());
          next(*self);
        });
    if (!queued) fail({ErrorCode::kBusy, "too many uploads wait"});
  }

  /// Before any byte is taken; what counts in the end is the announcement.
  void checkQuota() {
    const bool queued = uploads_.storage_.submitRead(
        [names = names(), order = order_,
         path = request_.path](Storage& storage) -> Result<std::uint64_t> {
          auto user = findUser(storage, names);
          if (!user) return user.error();
          auto kept = storage.bytesUploadedBy(*user, order.host, order.quota->prefix);
          if (!kept) return kept;
          auto before = storage.latestUpload(order.host, path);
          if (!before) return before.error();
          if (*before && (*before)->user == *user) *kept -= std::min(*kept, (*before)->size);
          return *kept;
        },
        [self = shared_from_this()](Result<std::uint64_t> kept) {
          if (!kept) return self->fail(kept.error());
          const std::uint64_t most = self->order_.quota->bytes;
          const std::uint64_t size = self->request_.upload->size;
          if (size > most || *kept > most - size) return self->refuseQuota();
          self->readBody();
        });
    if (!queued) fail({ErrorCode::kBusy, "too many jobs wait for the storage"});
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
      self->append();
    });
  }

  void append() {
    onLane([file = file_, chunk = std::exchange(chunk_, {})] { return file->append(chunk); },
           [](Task& self) { self.readBody(); });
  }

  /// The content's way to the disk and the record's need not wait for each other.
  void finish() {
    awaited_ = 2;
    const bool queued = uploads_.lane_.submit(
        [file = file_, chunk = std::exchange(chunk_, {})]() -> Result<void> {
          if (auto appended = file->append(chunk); !appended) return appended;
          return file->finish();
        },
        [self = shared_from_this()](Result<void> finished) { self->join(std::move(finished)); });
    if (!queued) join(Error{ErrorCode::kBusy, "too many uploads wait"});
    announce(sum_.hex());
  }

  void findVictim() {
    onLane([file = file_] { return file->findVictim(); },
           [](Task& self) {
             self.awaited_ = 1;
             self.announce("");
           });
  }

  /// Once both have ended: on, or back.
  void join(Result<void> done) {
    if (!done && !failure_) failure_ = std::move(done).error();
    if (--awaited_ > 0) return;
    if (!failure_) return recorded_ || !file_->hasOld() ? settle() : sumOld();
    if (id_ != 0) dropRecord();
    quotaReached_ ? refuseQuota() : fail(*failure_);
  }

  /// Of a file that no record describes: somebody else put it there.
  void sumOld() {
    const bool queued = uploads_.lane_.submit([file = file_] { return file->sumOld(); },
                                              [self = shared_from_this()](Result<void> done) {
                                                if (done) return self->settle();
                                                self->dropRecord();
                                                self->fail(done.error());
                                              });
    if (queued) return;
    dropRecord();
    fail({ErrorCode::kBusy, "too many uploads wait"});
  }

  /// A certificate's two names; empty without one.
  std::pair<std::string, std::string> names() const {
    if (!request_.identity) return {};
    return {request_.identity->fingerprint, request_.identity->keyFingerprint};
  }
  static Result<std::string> findUser(Storage& storage,
                                      const std::pair<std::string, std::string>& names) {
    if (names.first.empty()) return std::string();
    auto user = storage.findUser(names.first, names.second);
    if (!user) return user.error();
    return user->value_or("");
  }

  /// `sha256`: of the new content; "" when there is none.
  void announce(std::string sha256) {
    UploadRecord record = uploads_.recordOf(order_.host, request_, order_.mime);
    record.sha256 = std::move(sha256);
    const bool queued = uploads_.storage_.submit(
        [record, names = names(),
         quota = order_.quota](Storage& storage) mutable -> Result<Announced> {
          if (!names.first.empty()) {
            auto user = storage.resolveUser(names.first, names.second, record.time);
            if (!user) return user.error();
            record.user = std::move(*user);
          }
          const auto before = storage.latestUpload(record.host, record.path);
          if (!before) return before.error();
          const auto id = storage.announceUpload(record, quota);
          if (!id) return id.error();
          return Announced{*id, *before && !(*before)->sha256.empty()};
        },
        [self = shared_from_this()](Result<Announced> announced) {
          if (!announced) {
            const ErrorCode code = announced.error().code;
            self->quotaReached_ = code == ErrorCode::kNoSpace && self->order_.quota;
            return self->join(announced.error());
          }
          crashPoint("announced");
          self->id_ = announced->id;
          self->recorded_ = announced->fileIsRecorded;
          self->join({});
        });
    if (!queued) join(Error{ErrorCode::kBusy, "too many jobs wait for the storage"});
  }

  /// The storage's lock makes writers take turns, those of other workers too.
  void settle() {
    const bool queued = uploads_.storage_.submit(
        [id = id_, file = file_, folders = &uploads_.folders_, host = order_.host,
         path = request_.path, isDelete = isDelete()](Storage& storage) -> Result<std::int64_t> {
          auto before = storage.latestUpload(host, path);
          if (!before) return before.error();
          UploadOutcome outcome = UploadOutcome::kDeleted;
          if (isDelete) {
            if (auto removed = file->remove(); !removed) return removed.error();
          } else {
            const auto replaced = file->publish();
            if (!replaced) return replaced.error();
            outcome = *replaced ? UploadOutcome::kReplaced : UploadOutcome::kStored;
          }
          if (auto added = folders->add(file->folder()); !added) return added.error();
          const bool hadRecord = *before && !(*before)->sha256.empty();
          const bool hadFile = outcome != UploadOutcome::kStored;
          return storage.settleUpload(id, outcome,
                                      !hadFile    ? ""
                                      : hadRecord ? (*before)->sha256
                                                  : file->oldSha256());
        },
        [self = shared_from_this()](Result<std::int64_t> settled) {
          if (settled) {
            crashPoint("recorded");
            return self->succeed();
          }
          self->afterFailedSettling(settled.error());
        });
    if (!queued) afterFailedSettling({ErrorCode::kBusy, "too many jobs wait for the storage"});
  }

  /// Once the file has its name, its pending record, which is on the disk, tells recovery so.
  void afterFailedSettling(const Error& error) {
    if (file_->isPublished()) {
      spdlog::error("an upload's record stays pending until the next start: {}", error.message);
      return onLane(
          [file = file_]() -> Result<void> {
            if (::fsync(file->folder()) == 0) return {};
            return Error{ErrorCode::kIo, "fsync of the folder failed"};
          },
          [](Task& self) { self.succeed(); });
    }
    dropRecord();
    fail(error);
  }

  void dropRecord() {
    const bool queued = uploads_.storage_.submit(
        [id = id_](Storage& storage) { return storage.dropUpload(id); }, [](Result<void>) {});
    if (!queued) spdlog::warn("the record of an upload that failed stays pending");
  }

  void succeed() {
    uploads_.counters_.add(isDelete() ? Counter::kUploadsDeleted : Counter::kUploadsStored);
    if (isDelete()) return std::move(reply_).send(Response::gemtext("It has been deleted.\n"));
    uploads_.counters_.add(Counter::kUploadBytes, request_.upload->size);
    std::move(reply_).send(Response::redirect(readUrl(request_), false));
  }

  void refuseQuota() {
    refuse(Response::failure(
        Status::kPermanentFailure,
        fmt::format("Your uploads here would exceed {}", sizeText(order_.quota->bytes))));
  }

  void failBody(const Error& error) {
    refuse(Response::failure(Status::kBadRequest, error.message));
  }

  void fail(const Error& error) {
    if (isTrouble(error)) {
      spdlog::error("an upload failed: {}; look at the folder's owner and room",
                    logQuote(error.message));
    }
    refuse(refusalOf(error));
  }

  void refuse(Response refusal) {
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
  Sha256 sum_;                    ///< of what was received
  int awaited_ = 0;               ///< of the file's fsync and the record's commit
  std::optional<Error> failure_;  ///< of either
  bool quotaReached_ = false;     ///< which is what failed
  std::int64_t id_ = 0;           ///< of the pending record; 0: there is none
  bool recorded_ = false;         ///< the file that has the name: its sum is known
};

Uploads::Uploads(EventLoop& loop, StorageThread& storage, FolderSync& folders, WorkerSlot& counters,
                 AddressMask addressMask)
    : storage_(storage),
      folders_(folders),
      counters_(counters),
      addressMask_(addressMask),
      mayRemember_(kRefusalBurst),
      lane_(loop, kLaneThreads, kLaneQueue) {}

Uploads::~Uploads() = default;

void Uploads::carryOut(UploadOrder order, Request request, Responder reply) {
  std::make_shared<Task>(*this, std::move(order), std::move(request), std::move(reply))->start();
}

void Uploads::offerNew(UploadPlace place, const std::string& host, Request request,
                       Responder reply) {
  struct Pending {
    Request request;
    Responder reply;
  };
  // Shared, so that it is still here when the lane takes no more.
  const auto waiting = std::make_shared<Pending>(Pending{std::move(request), std::move(reply)});
  place.createFolders = false;
  const bool queued = lane_.submit(
      [place = std::move(place)] { return UploadFile(place).findVictim(); },
      [this, waiting, host](Result<void> found) {
        if (found) return std::move(waiting->reply).send(busyFailure());  // it has come meanwhile
        if (found.error().code == ErrorCode::kNotFound) {
          return std::move(waiting->reply).send(Response::gemtext(""));
        }
        refuse(host, waiting->request, refusalOf(found.error()), std::move(waiting->reply));
      });
  if (!queued) std::move(waiting->reply).send(busyFailure());
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
  const bool queued = storage_.submit(
      [record, certificate, key](Storage& storage) mutable -> Result<std::int64_t> {
        if (!certificate.empty()) {
          auto user = storage.findUser(certificate, key);
          if (!user) return user.error();
          record.user = user->value_or("");
        }
        return storage.recordUpload(record);
      },
      [](Result<std::int64_t>) {});
  if (!queued) spdlog::debug("a refused upload was not recorded: the storage is busy");
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
