#include "worker/upload/upload.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/base/units.h"
#include "worker/site/answers.h"
#include "worker/upload/upload_failure.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

std::string urlOf(const Request& request, const std::string& path) {
  std::string url = "gemini://" + hostInUrl(request.host);
  if (request.readPort != kGeminiPort) url += fmt::format(":{}", request.readPort);
  return url + percentEncodePath(path);
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

/// Takes the body to its end.
Task<Result<void>> Upload::store() {
  if (order_.isBounded()) {
    if (auto allowed = co_await askFirst(); !allowed) co_return allowed;
  }
  std::string chunk;
  for (std::uint64_t received = 0;;) {
    const auto bytes = co_await request_.body->read();
    if (!bytes) {
      refusal_ = Response::failure(Status::kBadRequest, bytes.error().message);
      co_return bytes.error();
    }
    if (bytes->empty()) break;
    sum_.add(*bytes);
    chunk += *bytes;
    received += bytes->size();
    // Reads on to the end before it writes: a small body takes one trip through the lane.
    if (received == request_.upload->size) continue;
    if (auto appended = co_await append(chunk); !appended) co_return appended;
    chunk.clear();
  }
  sha256_ = sum_.hex();
  co_return co_await complete(chunk);
}

Task<Result<void>> Upload::askFirst() {
  const auto look = [this](Storage& storage) { return lookIn(storage); };
  const auto mayReplace = co_await uploads_.storage_.read(look);
  if (!mayReplace) co_return mayReplace.error();
  if (order_.bounds.ownOnly) file_->setMayReplace(*mayReplace);
  co_return Result<void>();
}

/// `last`: the content is complete with this chunk.
Task<Result<void>> Upload::write(const std::string& chunk, bool last) {
  const auto append = [&]() -> Result<void> {
    auto appended = file_->append(chunk);
    return appended && last ? file_->finish() : appended;
  };
  co_return co_await uploads_.lane_.run(append);
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
  return mayReplace(*latest, planned.user);
}

Result<UploadRecord> Upload::recordIn(Storage& storage) {
  UploadRecord made = record();
  if (const auto [certificate, key] = names(); !certificate.empty()) {
    auto user = storage.resolveUser(certificate, key, made.time,
                                    claimedName(request_.identity->commonName));
    if (!user) return user.error();
    made.user = std::move(*user);
  }
  if (order_.restoredFor) made.user = *order_.restoredFor;
  return made;
}

/// The latest record of the file; an Error, with obstacle_ set, if `record` may not be announced.
Result<Upload::Latest> Upload::examine(Storage& storage, const UploadRecord& record) {
  obstacle_ = Obstacle::kNone;
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

/// Whether the file exists, according to its latest record.
bool Upload::isThere(const Latest& latest) { return latest && !latest->sha256.empty(); }

/// And whether it is the user's. A file that was uploaded without a certificate is nobody's.
bool Upload::isOf(const Latest& latest, const std::string& user) {
  return isThere(latest) && !user.empty() && latest->user == user;
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

void Upload::answerUnknown(Response answer) {
  if (std::exchange(answered_, true)) return;
  std::move(reply_).send(std::move(answer));
}

void Upload::giveUp(const Error& error) {
  const bool refused = !std::exchange(answered_, true);
  std::optional<Response> refusal;
  if (refused) {
    refusal = refusalOf(error);
    abandon();
  }
  // Destroyed on the lane, since that removes the unfinished content, gigabytes maybe.
  uploads_.lane_.submit([file = std::move(file_)] { return Result<void>(); }, [](Result<void>) {});
  if (refused) uploads_.refuse(order_.host, request_, std::move(*refusal), std::move(reply_));
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
    const bool isFolders = error.code != ErrorCode::kIo;
    uploads_.troubles_.log(
        {error.code, "an upload failed: " + error.message +
                         (isFolders ? "; look at the folder's owner and room" : "")});
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

}  // namespace egalaxyd
