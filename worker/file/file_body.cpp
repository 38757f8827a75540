#include "worker/file/file_body.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/errno_error.h"
#include "common/system/log.h"
#include "worker/base/lane.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

constexpr auto kRetryPause = std::chrono::milliseconds(20);

/// preadv2(2); -1 with errno.
ssize_t readAt(int fd, std::span<char> into, std::uint64_t offset, int flags) {
  const iovec part{into.data(), into.size()};
  ssize_t got;
  do {
    got = ::preadv2(fd, &part, 1, static_cast<off_t>(offset), flags);
  } while (got < 0 && errno == EINTR);
  return got;
}

bool hasParameter(std::string_view type, std::string_view name) {
  return type.find(name) != std::string_view::npos;
}

}  // namespace

/// Shared by the body and the pool: either may be destroyed first.
struct FileBody::PoolRead {
  UniqueFd file;
  std::uint64_t offset;
  std::size_t wanted;
  std::unique_ptr<char[]> bytes;  ///< made in the pool: queued reads hold no buffer
  ssize_t got = -1;
  int error = EIO;
  bool begun = false;
  bool finished = false;      ///< loop thread only
  FileBody* owner = nullptr;  ///< loop thread only; nullptr: the body is gone

  void run() {
    begun = true;
    bytes = std::make_unique_for_overwrite<char[]>(wanted);
    got = readAt(file.get(), {bytes.get(), wanted}, offset, 0);
    error = got < 0 ? errno : 0;
  }
  void finish() {
    finished = true;
    if (owner != nullptr) owner->wake();
  }
  void tryLater() const {
    if (owner != nullptr) owner->retry_.setAfter(kRetryPause);
  }
};

FileBody::FileBody(OpenFile file, Services& services)
    : file_(std::move(file.fd)),
      head_(std::move(file.head)),
      size_(file.size()),
      services_(services),
      // finish() may destroy this body and its timer: deferred, so that the timer is not destroyed
      // within its own callback.
      retry_(services.loop, [this] { services_.loop.defer([read = read_] { read->finish(); }); }) {}

FileBody::~FileBody() {
  if (read_) read_->owner = nullptr;
}

BodyChunk FileBody::pull(std::span<char> scratch) {
  const auto rest =
      static_cast<std::size_t>(std::min<std::uint64_t>(scratch.size(), size_ - offset_));
  const std::span<char> into = scratch.first(rest);
  if (read_) {
    if (!read_->finished) return {BodyChunk::State::kLater, {}};
    const auto read = std::exchange(read_, nullptr);
    file_ = std::move(read->file);
    if (read->begun) {
      const std::size_t got =
          std::min(rest, static_cast<std::size_t>(std::max<ssize_t>(read->got, 0)));
      std::copy_n(read->bytes.get(), got, into.data());
      return chunkOf(into, read->got, read->error);
    }
  }
  if (rest == 0) return {BodyChunk::State::kEnd, {}};
  if (!head_.empty()) return chunkOfHead(into);
  const ssize_t got = readAt(file_.get(), into, offset_, RWF_NOWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EOPNOTSUPP)) {
    return readInPool(std::min(rest, kBodyChunk));
  }
  return chunkOf(into, got, got < 0 ? errno : 0);
}

/// Room that the head leaves is filled from the page cache, so that the chunk is not a small one.
BodyChunk FileBody::chunkOfHead(std::span<char> into) {
  std::size_t bytes = head_.copy(into.data(), into.size(), static_cast<std::size_t>(offset_));
  if (offset_ + bytes == head_.size()) {
    dropBuffer(head_);
    if (bytes < into.size()) {
      const ssize_t got = readAt(file_.get(), into.subspan(bytes), offset_ + bytes, RWF_NOWAIT);
      bytes += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }
  }
  return chunkOf(into, static_cast<std::int64_t>(bytes), 0);
}

BodyChunk FileBody::readInPool(std::size_t bytes) {
  read_ = std::make_shared<PoolRead>();
  read_->file = std::move(file_);
  read_->offset = offset_;
  read_->wanted = bytes;
  read_->owner = this;
  services_.pool.submit(
      [read = read_] {
        read->run();
        return Result<void>();
      },
      [read = read_](Result<void> ran) {
        if (!ran && ran.error().code == ErrorCode::kBusy) return read->tryLater();
        read->finish();
      });
  return {BodyChunk::State::kLater, {}};
}

BodyChunk FileBody::chunkOf(std::span<const char> buffer, std::int64_t got, int error) {
  if (got <= 0) {
    if (error != 0) {
      spdlog::error("{}", errnoError("read a file that is being sent", error).message);
    } else {
      spdlog::info("a file shrank while it was being sent: the response was cut short");
    }
    return {BodyChunk::State::kFailed, {}};
  }
  const auto bytes = static_cast<std::size_t>(got);
  offset_ += bytes;
  return {offset_ == size_ ? BodyChunk::State::kEnd : BodyChunk::State::kMore,
          {buffer.data(), bytes}};
}

std::string describeMediaType(std::string_view type, std::string_view charset,
                              std::string_view lang) {
  std::string text(type);
  if (!type.starts_with("text/")) return text;
  if (!charset.empty() && !hasParameter(type, "charset="))
    text.append("; charset=").append(charset);
  const bool gemtext = type == "text/gemini" || type.starts_with("text/gemini;");
  if (!lang.empty() && gemtext && !hasParameter(type, "lang=")) {
    const std::string_view quote = lang.find(',') == std::string_view::npos ? "" : "\"";
    text.append("; lang=").append(quote).append(lang).append(quote);
  }
  return text;
}

Response fileResponse(OpenFile file, std::string mediaType, Services& services) {
  return Response::success(std::move(mediaType),
                           std::make_unique<FileBody>(std::move(file), services));
}

Response openFailure(const Error& error) {
  switch (error.code) {
    case ErrorCode::kPermission:
      spdlog::info("answered 51: {}", error.message);
      return Response::notFound();
    case ErrorCode::kNotFound:
    case ErrorCode::kInvalid:
      return Response::notFound();
    case ErrorCode::kNoSpace:
      spdlog::warn("answered 41: {}", error.message);
      return busyFailure();
    case ErrorCode::kBusy:
      return busyFailure();
    default:
      spdlog::error("answered 40: {}", error.message);
      return Response::failure(Status::kTemporaryFailure, "The page cannot be read now");
  }
}

}  // namespace egalaxyd
