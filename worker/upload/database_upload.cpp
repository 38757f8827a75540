#include "worker/upload/database_upload.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/system/log.h"
#include "worker/upload/change_teller.h"
#include "worker/upload/upload_failure.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

/// How much goes into the database at once, and is in memory.
constexpr std::uint64_t kBatchBytes = 16 * kContentPart;

}  // namespace

Task<Result<void>> DatabaseUpload::append(const std::string& chunk) {
  file_->allowName();  // what has it after a crash is removed by the follower
  return write(chunk, false);
}

/// What this host cannot take is refused before the database is asked.
Task<Result<void>> DatabaseUpload::complete(const std::string& rest) {
  if (auto written = co_await append(rest); !written) co_return written;
  const auto [finished, stored] = co_await both(finish(), bring(rest));
  if (!stored) co_return stored;
  if (finished) {
    co_await place();
  } else {
    complain(finished.error());
  }
  co_return stored;
}

Task<Result<void>> DatabaseUpload::remove() {
  if (auto stored = co_await commit(); !stored) co_return stored;
  co_await place();
  co_return Result<void>();
}

/// A file that never had a record is nobody's, but one whose record says that it was deleted is
/// about to go.
bool DatabaseUpload::mayReplace(const Latest& latest, const std::string& user) const {
  return isOf(latest, user) || (latest && !isThere(latest));
}

Task<Result<void>> DatabaseUpload::finish() {
  const auto finish = [this] { return file_->finish(); };
  co_return co_await uploads_.lane_.run(finish);
}

/// All but the last part is read back from the file, and goes into the database before the record.
Task<Result<void>> DatabaseUpload::bring(const std::string& rest) {
  const std::uint64_t size = request_.upload->size;
  if (rest.size() == size && size <= kContentPart) {
    content_.rest = rest;
    co_return co_await commit();
  }
  const std::uint64_t before = (size - 1) / kContentPart * kContentPart;
  if (auto brought = co_await bringMost(before); !brought) co_return brought;
  const auto readLast = [this, before] { return file_->read(before, kContentPart); };
  auto last = co_await uploads_.lane_.run(readLast);
  if (!last) co_return last.error();
  content_.rest = std::move(*last);
  co_return co_await commit();
}

/// The first `most` bytes, whole parts.
Task<Result<void>> DatabaseUpload::bringMost(std::uint64_t most) {
  for (std::uint64_t done = 0; done < most;) {
    const auto bytes = std::min(most - done, kBatchBytes);
    const auto read = [this, done, bytes] { return file_->read(done, bytes); };
    const auto batch = co_await uploads_.lane_.run(read);
    if (!batch) co_return batch.error();
    const auto append = [&](Storage& storage) -> Result<std::int64_t> {
      auto content = Result<std::int64_t>(content_.content);
      std::string_view left = *batch;
      for (; content && !left.empty(); left.remove_prefix(std::min(left.size(), kContentPart))) {
        content = storage.appendContent(*content, left.substr(0, kContentPart), wallNow());
      }
      return content;
    };
    const auto appended = co_await uploads_.storage_.write(append);
    // What may be there without a record is swept.
    if (!appended && appended.error().code == ErrorCode::kUnknown) {
      co_return Error{ErrorCode::kBusy, appended.error().message};
    }
    if (!appended) co_return appended.error();
    content_.content = *appended;
    done += bytes;
  }
  co_return Result<void>();
}

Task<Result<void>> DatabaseUpload::commit() {
  const auto storeIt = [this](Storage& storage) { return storeIn(storage); };
  const auto stored = co_await uploads_.storage_.write(storeIt, keys());
  if (!stored) {
    if (stored.error().code == ErrorCode::kUnknown) answerUnknown(uploadFailure(stored.error()));
    co_return stored.error();
  }
  stored_ = *stored;
  uploads_.teller_->tell();
  uploads_.sweep();
  co_return Result<void>();
}

/// Has this host's file follow at once.
Task<void> DatabaseUpload::place() {
  const auto placeIt = [this] {
    return isDelete() ? file_->removeCopy(stored_) : file_->publishCopy(stored_);
  };
  const auto placed = co_await uploads_.lane_.run(placeIt);
  if (!placed) complain(placed.error());
}

void DatabaseUpload::complain(const Error& error) {
  uploads_.troubles_.log(
      {error.code, "an upload is stored, but not in this host's file yet: " + error.message});
}

/// The database's word alone says what is there.
Result<std::int64_t> DatabaseUpload::storeIn(Storage& storage) {
  auto record = recordIn(storage);
  if (!record) return record.error();
  record->sha256 = sha256_;
  const auto before = examine(storage, *record);
  if (!before) return before.error();
  if (isDelete() && !isThere(*before)) return Error{ErrorCode::kNotFound, "there is no such file"};
  const auto pending = storage.announceUpload(*record);
  if (!pending) return pending;
  if (order_.keep && isThere(*before) && (*before)->sha256 != sha256_) {
    auto kept = keepHeldVersion(storage, *pending, **before, *order_.keep);
    if (!kept) return kept.error();
  }
  if (!isDelete()) {
    auto brought = storage.bringContent(*pending, content_, wallNow());
    if (!brought) return brought.error();
  }
  const UploadOutcome outcome = isDelete()         ? UploadOutcome::kDeleted
                                : isThere(*before) ? UploadOutcome::kReplaced
                                                   : UploadOutcome::kStored;
  return storage.settleUpload(*pending, outcome, isThere(*before) ? (*before)->sha256 : "");
}

/// What storeIn() changes. A user's own quota is one with the user.
StorageKeys DatabaseUpload::keys() const {
  StorageKeys keys{placeKey(order_.host, request_.path)};
  if (request_.identity) keys.push_back(userKey(request_.identity->keyFingerprint));
  const auto& quota = order_.bounds.quota;
  if (quota && (quota->isShared() || !request_.identity)) {
    keys.push_back(quotaKey(order_.host, quota->prefix));
  }
  return keys;
}

}  // namespace egalaxyd
