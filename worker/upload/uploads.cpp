#include "worker/upload/uploads.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "common/system/log.h"
#include "common/wire/media_type.h"
#include "worker/site/answers.h"
#include "worker/upload/database_upload.h"
#include "worker/upload/folder_upload.h"
#include "worker/upload/upload_failure.h"
#include "worker/upload/upload_rules.h"

namespace egalaxyd {
namespace {

/// Threads that write and fsync: several, so that uploads share commits of the file system's
/// journal; not more, since each would be woken for less work.
constexpr std::size_t kLaneThreads = 4;
constexpr std::size_t kLaneQueue = 4096;
/// Refusals that are recorded in a burst, and then per second.
constexpr double kRefusalBurst = 60;
constexpr double kRefusalsPerSecond = 1;
/// Parts of content that are freed at once.
constexpr std::size_t kSweptTogether = 64;
/// The pause between attempts to settle the records of published files.
constexpr auto kSettlePause = std::chrono::milliseconds(250);

}  // namespace

Uploads::Uploads(EventLoop& loop, Tasks& tasks, StorageLane& storage, FolderSync& folders,
                 WorkerSlot& counters, AddressMask addressMask, std::int64_t worker,
                 std::filesystem::path database, ChangeTeller* teller)
    : tasks_(tasks),
      storage_(storage),
      folders_(folders),
      counters_(counters),
      addressMask_(addressMask),
      worker_(worker),
      database_(std::move(database)),
      teller_(teller),
      mayRemember_(kRefusalBurst),
      lane_(loop, {"uploads", kLaneThreads, kLaneQueue}),
      settleTimer_(loop, [this] { attemptNow({}); }) {}

Uploads::~Uploads() = default;

void Uploads::carryOut(UploadOrder order, Request request, Responder reply) {
  tasks_.start(carriedOut(std::move(order), std::move(request), std::move(reply)));
}

Task<void> Uploads::carriedOut(UploadOrder order, Request request, Responder reply) {
  if (teller_ != nullptr) {
    DatabaseUpload upload(*this, std::move(order), std::move(request), std::move(reply));
    co_return co_await upload.carryOut();
  }
  FolderUpload upload(*this, std::move(order), std::move(request), std::move(reply));
  co_await upload.carryOut();
}

Async<Result<void>> Uploads::nextAttempt() {
  return async<Result<void>>([this](Async<Result<void>>::Done done) {
    if (left_) return done(Error{ErrorCode::kBusy, "the worker leaves"});
    attempts_.push_back(std::move(done));
    if (attempts_.size() == 1) settleTimer_.setAfter(kSettlePause);
  });
}

void Uploads::attemptNow(const Result<void>& result) {
  for (auto& attempt : std::exchange(attempts_, {})) attempt(result);
}

void Uploads::leave() {
  left_ = true;
  settleTimer_.cancel();
  turns_.close();
  attemptNow(Error{ErrorCode::kBusy, "the worker leaves"});
}

void Uploads::offerNew(UploadPlace place, std::string host, Request request, Responder reply) {
  auto cancellation = request.cancellation;
  tasks_.start(offer(std::move(place), std::move(host), std::move(request), std::move(reply)),
               std::move(cancellation));
}

Task<void> Uploads::offer(UploadPlace place, std::string host, Request request, Responder reply) {
  place.createFolders = false;
  const auto find = [&] { return UploadFile(place).findExisting(); };
  auto found = co_await lane_.run(find);
  if (!found && found.error().code == ErrorCode::kNotFound && teller_ != nullptr) {
    found = co_await findElsewhere(host, request.path);
  }
  if (found) co_return std::move(reply).send(busyFailure());  // the file has come meanwhile
  if (found.error().code == ErrorCode::kNotFound) {
    co_return std::move(reply).send(Response::gemtext(""));
  }
  refuse(host, request, uploadFailure(found.error()), std::move(reply));
}

/// What the database has, and this host will have at once; kNotFound.
Async<Result<void>> Uploads::findElsewhere(std::string host, std::string path) {
  return storage_.read([host, path](Storage& storage) -> Result<void> {
    const auto latest = storage.latestUpload(host, path);
    if (!latest) return latest.error();
    if (*latest && !(*latest)->sha256.empty()) return {};
    return Error{ErrorCode::kNotFound, "no file has this name"};
  });
}

/// Frees the room of what uploads have replaced, where a database holds it.
void Uploads::sweep() {
  if (left_ || std::exchange(sweeping_, true)) return;
  storage_.submit([](Storage& storage) { return storage.sweepContents({}, kSweptTogether); },
                  [this](Result<std::uint64_t> swept) {
                    sweeping_ = false;
                    if (swept && *swept == kSweptTogether) sweep();
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
  // The type may be the reason for the refusal.
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
      },
      storage_.keys([&] { return key.empty() ? StorageKeys() : StorageKeys{userKey(key)}; }));
}

UploadRecord Uploads::recordOf(const std::string& host, const Request& request,
                               std::string mime) const {
  UploadRecord record;
  record.time = wallNow();
  record.protocol = request.protocol == Protocol::kSpartan ? "spartan" : "titan";
  record.host = host;
  record.path = request.path;
  record.writer = request.name;
  record.client = request.client.text(addressMask_);
  record.mime = std::move(mime);
  record.size = request.upload->size;
  return record;
}

}  // namespace egalaxyd
