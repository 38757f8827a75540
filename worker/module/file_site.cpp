#include "worker/module/file_site.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "common/base/errno_error.h"
#include "common/file/private_key.h"
#include "common/wire/media_type.h"
#include "worker/base/lane.h"
#include "worker/file/file_body.h"
#include "worker/file/served_root.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

std::string mediaTypeFor(const FileArgs& args, std::string_view lang) {
  std::string_view type = args.mime;
  const std::string name = args.path.filename().string();
  if (type.empty()) type = mediaTypeOf(name);
  if (type.empty()) type = "application/octet-stream";
  return describeMediaType(type, "", lang);
}

/// Sends a text that other responses may share.
class SharedBody final : public BodySource {
 public:
  explicit SharedBody(std::shared_ptr<const std::string> text) : text_(std::move(text)) {}
  BodyChunk pull(std::span<char> scratch) override {
    const auto chunk = std::string_view(*text_).substr(sent_, scratch.size());
    sent_ += chunk.size();
    return {sent_ == text_->size() ? BodyChunk::State::kEnd : BodyChunk::State::kMore, chunk};
  }

 private:
  const std::shared_ptr<const std::string> text_;
  std::size_t sent_ = 0;
};

}  // namespace

FileSite::FileSite(const FileArgs& args, std::string_view lang, bool atRoot,
                   std::shared_ptr<const PrivateFiles> neverServed)
    : path_(args.path),
      mediaType_(mediaTypeFor(args, lang)),
      cache_(args.cache),
      atRoot_(atRoot),
      neverServed_(std::move(neverServed)) {}

Response FileSite::responseOf(Result<OpenFile> opened, Services& services) const {
  if (!opened) return failureOf(opened.error());
  if (opened->isFolder()) return Response::notFound();
  return fileResponse(std::move(opened).value(), mediaType_, services);
}

/// 41 where it may come by itself: it is closed, out of the sandbox, or its whole folder is away.
Response FileSite::failureOf(const Error& error) const {
  if (error.code == ErrorCode::kPermission) {
    const bool isClosed = presenceOfFile(path_).kind != Presence::Kind::kHere;
    return isClosed ? busyFailure() : openFailure(error);  // else a private key or the server's own
  }
  struct stat folder {};
  const bool isAway =
      error.code == ErrorCode::kNotFound && ::stat(path_.parent_path().c_str(), &folder) != 0;
  return isAway ? busyFailure() : openFailure(error);
}

void FileSite::handle(Request request, Responder reply, Services& services) {
  const std::string_view below = request.sitePath();
  const bool isRoot = below == "/" && (atRoot_ || request.mountLength == 0);
  if (!below.empty() && !isRoot) return std::move(reply).send(Response::notFound());
  if (!cache_) return answerFromFile(std::move(reply), services);
  if (isFresh()) return answerFromMemory(std::move(reply), services);
  load(std::move(reply), services);
}

void FileSite::answerFromFile(Responder reply, Services& services) const {
  auto opened = openFile(path_, Waiting::kNever, neverServed_.get());
  if (opened.ok() || opened.error().code != ErrorCode::kBusy) {
    return std::move(reply).send(responseOf(std::move(opened), services));
  }
  services.tasks.start(answerLate(std::move(reply), services));
}

Task<void> FileSite::answerLate(Responder reply, Services& services) const {
  const auto open = [this] { return openFile(path_, Waiting::kAllowed, neverServed_.get()); };
  auto opened = co_await services.pool.run(open);
  std::move(reply).send(responseOf(std::move(opened), services));
}

void FileSite::answerFromMemory(Responder reply, Services& services) const {
  if (!content_) return answerFromFile(std::move(reply), services);
  std::move(reply).send(Response::success(mediaType_, std::make_unique<SharedBody>(content_)));
}

bool FileSite::isFresh() const {
  return loaded_ && (*cache_ == kForever || Clock::now() - *loaded_ < *cache_);
}

/// The first request that finds the content stale has it read; others wait for the same read.
void FileSite::load(Responder reply, Services& services) {
  waiting_.push_back(std::move(reply));
  if (waiting_.size() > 1) return;
  services.tasks.start(loadForAll(services));
}

Task<void> FileSite::loadForAll(Services& services) {
  const auto readIt = [this] { return read(path_, neverServed_); };
  auto content = co_await services.pool.run(readIt);
  if (content) loaded_ = Clock::now();
  content_ = content ? std::move(content).value() : nullptr;
  // Without content, opening the file tells what is wrong.
  for (Responder& waiting : std::exchange(waiting_, {})) {
    answerFromMemory(std::move(waiting), services);
  }
}

Result<FileSite::Content> FileSite::read(const std::filesystem::path& path, const Keys& keys) {
  auto file = openFile(path, Waiting::kAllowed, keys.get());
  if (!file) return file.error();
  if (file->isFolder() || file->size() > kMaxCachedBytes) return Content();
  std::string bytes = std::move(file->head);
  std::size_t have = bytes.size();
  bytes.resize(static_cast<std::size_t>(file->size()));
  while (have < bytes.size()) {
    const ssize_t got =
        ::pread(file->fd.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read " + path.string(), errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  if (isPrivateKey(bytes)) return Content();  // the file has changed since it was examined
  return std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace egalaxyd
