#include "worker/upload/restore.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/errno_error.h"
#include "common/cluster/database_access.h"
#include "common/cluster/own_sight.h"
#include "common/cluster/server_storage.h"
#include "common/content/old_file.h"
#include "common/content/upload_place.h"
#include "common/loop/event_loop.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

/// SQLite's busy timeout: how long to wait for a worker's write.
constexpr auto kRestoreBusyTimeout = std::chrono::seconds(5);

Result<std::unique_ptr<Storage>> openStorage(const Config& config, std::string_view lane,
                                             DatabaseSight& sight) {
  return openServerStorage(config, lane, kRestoreBusyTimeout, {}, sight);
}

Error notKept(std::int64_t upload) {
  return {ErrorCode::kNotFound,
          fmt::format("that content of upload {} is not kept (any more): see upload.keep", upload)};
}

Result<Version> versionOf(Storage& storage, std::int64_t upload) {
  const auto version = storage.findVersion(upload);
  if (!version) return version.error();
  if (!*version) return notKept(upload);
  return **version;
}

/// The file's content has this sum now.
Result<bool> holds(const SiteRoot& root, const std::string& relative, const std::string& sha256) {
  const auto file = root.open(relative, Waiting::kAllowed);
  if (!file && file.error().code == ErrorCode::kNotFound) return false;
  if (!file) return file.error();
  if (file->isFolder()) return false;
  const auto sum = sha256OfFile(file->fd.get());
  if (!sum) return sum.error();
  return *sum == sha256;
}

/// What the record's upload brought is what the database has.
Result<bool> isLatest(Storage& storage, const UploadRecord& record) {
  const auto latest = storage.latestUpload(record.host, record.path);
  if (!latest) return latest.error();
  return *latest && (*latest)->sha256 == record.sha256;
}

/// A worker's uploads in a process without clients.
class LoneUploads {
 public:
  LoneUploads(const Config& config, SharedState& shared, std::int64_t worker,
              std::unique_ptr<DatabaseLink> link)
      : storage_(
            loop_,
            [this, &config, worker](std::size_t number) {
              return openStorage(config, fmt::format("restore-{}/{}", worker, number), sight_);
            },
            options(config)),
        teller_(link ? std::make_unique<ChangeTeller>(loop_, std::move(link)) : nullptr),
        uploads_(loop_, tasks_, storage_, folders_, shared.slot(0), config.log.clientIp, worker,
                 config.server.stateDir, teller_.get()) {}

  Response carryOut(UploadOrder order, Request request) {
    std::optional<Response> answer;
    uploads_.carryOut(
        std::move(order), std::move(request), Responder([&](std::optional<Response> given) {
          answer =
              given ? std::move(*given) : Response::failure(Status::kTemporaryFailure, "It failed");
          loop_.stop();
        }));
    while (!answer) loop_.run();
    uploads_.leave();
    while (tasks_.running() + uploads_.pending() + storage_.pending() > 0) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
    return std::move(*answer);
  }

 private:
  StorageLaneOptions options(const Config& config) {
    StorageLaneOptions options;
    if (config.storage.engine == StorageKind::kSqlite) {
      options.beforeCommit = [this] { return folders_.sync(); };
    } else {
      options.shared = SharedEngineRules{.threads = 1, .patience = config.storage.patience};
    }
    return options;
  }

  EventLoop loop_;
  Tasks tasks_;
  FolderSync folders_;
  OwnSight sight_;
  StorageLane storage_;
  const std::unique_ptr<ChangeTeller> teller_;
  Uploads uploads_;
};

/// nullptr with SQLite.
Result<std::unique_ptr<DatabaseLink>> linkOf(const Config& config, DatabaseSight& sight) {
  if (config.storage.engine == StorageKind::kSqlite) return std::unique_ptr<DatabaseLink>();
  const auto engine = loadDatabaseEngine();
  if (!engine) return engine.error();
  return (*engine)->openLink(databaseAccess(config.storage), sight);
}

UploadOrder orderOf(const Config& config, const UploadRecord& record, const Version& version,
                    RecordPlace place) {
  const UploadArgs& rules = place.rules();
  UploadOrder order;
  order.keep = keepOrder(rules, place.tree->path);
  order.place =
      uploadPlaceOf(std::move(place),
                    std::make_shared<const PrivateFiles>(PrivateFiles::of(config)), version.size);
  order.host = record.host;
  order.readPath = record.path;
  order.mime = record.mime;
  order.blocks = std::max<std::uint64_t>(record.blocks, 1);
  order.restoredFor = record.user;
  return order;
}

/// Gives a version's content as a client would send it.
std::shared_ptr<RequestBody> bodyOf(Storage& storage, const Version& version) {
  auto body = std::make_shared<std::weak_ptr<RequestBody>>();
  const auto give = [&storage, version, body, part = std::uint64_t{0},
                     given = std::uint64_t{0}]() mutable {
    auto bytes = storage.readContent(version.content, part++);
    if (bytes) given += bytes->size();
    const auto taker = body->lock();
    if (bytes && bytes->empty() && given != version.size) {
      return taker->end(Error{ErrorCode::kIo, "the version was forgotten meanwhile"});
    }
    bytes ? taker->give(std::move(*bytes)) : taker->end(bytes.error());
  };
  auto made = std::make_shared<RequestBody>(version.size, give);
  *body = made;
  return made;
}

Result<ContentPiece> pieceOfContent(Storage& storage, std::int64_t content,
                                    const std::string& sha256, std::uint64_t piece) {
  constexpr std::uint64_t kParts = kContentPiece / kContentPart;
  ContentPiece found{"", sha256};
  for (std::uint64_t part = piece * kParts; found.bytes.size() < kContentPiece; ++part) {
    const auto bytes = storage.readContent(content, part);
    if (!bytes) return bytes.error();
    if (bytes->empty()) break;
    found.bytes += *bytes;
  }
  return found;
}

Result<ContentPiece> pieceOfFile(const Config& config, const UploadRecord& record,
                                 std::uint64_t piece) {
  const UploadTrees trees = uploadTreesOf(config);
  const auto place = placeOf(trees, record);
  if (!place) return place.error();
  const auto file = place->root.open(place->relative, Waiting::kAllowed);
  if (!file) return file.error();
  if (file->isFolder()) return Error{ErrorCode::kNotFound, "there is a folder now"};
  std::string bytes(kContentPiece, '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::pread(file->fd.get(), bytes.data() + filled, bytes.size() - filled,
                                static_cast<off_t>(piece * kContentPiece + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errnoError("read " + record.path, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return ContentPiece{std::move(bytes), ""};
}

/// What the file holds: the database's word, where that holds content.
Result<ContentPiece> pieceOfCurrent(const Config& config, Storage& storage,
                                    const UploadRecord& record, std::uint64_t piece) {
  if (!storage.holdsContent()) return pieceOfFile(config, record, piece);
  const auto latest = storage.latestUpload(record.host, record.path);
  if (!latest) return latest.error();
  if (!*latest) return Error{ErrorCode::kNotFound, "there is no such file"};
  const auto held = storage.contentOf((*latest)->id);
  if (!held) return held.error();
  if (!*held) return Error{ErrorCode::kNotFound, "there is no such file"};
  return pieceOfContent(storage, **held, "", piece);
}

/// Kept, or still in the file.
Result<ContentPiece> pieceOfUpload(const Config& config, Storage& storage,
                                   const UploadRecord& record, std::uint64_t piece) {
  const auto version = storage.findVersion(record.id);
  if (!version) return version.error();
  if (*version) return pieceOfContent(storage, (*version)->content, (*version)->sha256, piece);
  const auto latest = storage.latestUpload(record.host, record.path);
  if (!latest) return latest.error();
  if (record.sha256.empty() || !*latest || (*latest)->sha256 != record.sha256) {
    return notKept(record.id);
  }
  auto bytes = pieceOfCurrent(config, storage, record, piece);
  if (bytes) bytes->sha256 = record.sha256;
  return bytes;
}

}  // namespace

Result<std::int64_t> restoreUpload(const Config& config, SharedState& shared, std::int64_t upload,
                                   std::int64_t worker) {
  OwnSight sight;
  const auto storage = openStorage(config, fmt::format("restore-{}/reader", worker), sight);
  if (!storage) return storage.error();
  auto record = (*storage)->showUpload(upload);
  if (!record) return record.error();
  const UploadTrees trees = uploadTreesOf(config);
  auto place = placeOf(trees, *record);
  if (!place) return place.error();
  if (record->outcome != UploadOutcome::kDeleted) {
    const auto is = (*storage)->holdsContent()
                        ? isLatest(**storage, *record)
                        : holds(place->root, place->relative, record->sha256);
    if (!is) return is.error();
    if (*is) return Error{ErrorCode::kExists, "the file has this content"};
  }
  const auto version = versionOf(**storage, upload);
  if (!version) return version.error();
  if (version->size == 0) {
    return Error{ErrorCode::kInvalid, "it was an empty file, which no upload makes: make it anew"};
  }

  Request request;
  request.protocol = Protocol::kTitan;
  request.host = record->host;
  request.path = record->path;
  request.name = record->writer;
  request.upload = UploadLine{.size = version->size, .mime = record->mime, .token = {}};
  request.body = bodyOf(**storage, *version);
  auto link = linkOf(config, sight);
  if (!link) return link.error();
  const Response answer =
      LoneUploads(config, shared, worker, std::move(*link))
          .carryOut(orderOf(config, *record, *version, std::move(*place)), std::move(request));
  if (static_cast<int>(answer.status) / 10 != 3) return Error{ErrorCode::kIo, answer.meta};
  const auto latest = (*storage)->latestUpload(record->host, record->path);
  if (!latest) return latest.error();
  return *latest ? (*latest)->id : 0;
}

Result<ContentPiece> uploadContent(const Config& config, std::int64_t upload, WhichContent which,
                                   std::uint64_t piece) {
  OwnSight sight;
  const auto storage = openStorage(config, "content", sight);
  if (!storage) return storage.error();
  const auto record = (*storage)->showUpload(upload);
  if (!record) return record.error();
  if (which == WhichContent::kCurrent) return pieceOfCurrent(config, **storage, *record, piece);
  if (which == WhichContent::kIts) return pieceOfUpload(config, **storage, *record, piece);
  if (record->outcome == UploadOutcome::kStored) return ContentPiece{};
  const auto version = (*storage)->replacedVersion(upload);
  if (!version) return version.error();
  if (!*version) return notKept(upload);
  return pieceOfContent(**storage, (*version)->content, (*version)->sha256, piece);
}

}  // namespace egalaxyd
