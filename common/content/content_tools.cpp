#include "common/content/content_tools.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/path.h"
#include "common/base/sha256.h"
#include "common/content/keep_order.h"
#include "common/content/old_file.h"
#include "common/content/upload_mark.h"
#include "common/content/upload_place.h"
#include "common/file/private_files.h"
#include "common/file/server_files.h"
#include "common/wire/media_type.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFilesAtOnce = 500;
/// Differences that are looked at again at the end.
constexpr std::size_t kMostDoubts = 10'000;
/// How often a transaction is run that another host was in the way of.
constexpr int kTries = 10;

using Named = std::pair<std::string, std::string>;  ///< host and path

UploadRecord recordAt(const std::string& host, const std::string& path) {
  UploadRecord record;
  record.host = host;
  record.path = path;
  return record;
}

/// What is wrong with this host's file; "": nothing, or no site of it takes uploads there.
Result<std::string> differenceOf(const UploadTrees& trees, const SharedFile& file) {
  const auto place = placeOf(trees, recordAt(file.host, file.path));
  if (!place && place.error().code == ErrorCode::kNotFound) return std::string();
  if (!place) return place.error().message;
  const auto here = place->root.open(place->relative, Waiting::kAllowed);
  const bool isThere = here && !here->isFolder();
  const bool shallBe = !file.sha256.empty();
  if (!here && here.error().code != ErrorCode::kNotFound) return here.error().message;
  if (!isThere) return std::string(shallBe ? "is missing" : "");
  if (uploadOf(here->fd.get()) > file.upload) return std::string();  // uploaded meanwhile
  if (!shallBe) return std::string("is here, but was deleted");
  const auto sum = sha256OfFile(here->fd.get());
  if (!sum) return sum.error().message;
  return std::string(*sum == file.sha256 ? "" : "has other content");
}

/// Puts files of one tree into the storage.
class Import {
 public:
  Import(const Config& config, Storage& storage, const UploadTrees& trees, const UploadTree& tree,
         const TellOfFile& tell, ImportedContent& result)
      : storage_(storage),
        trees_(trees),
        tree_(tree),
        keep_(keepOrder(*tree.args->upload, tree.path)),
        keys_(std::make_shared<const PrivateFiles>(PrivateFiles::of(config))),
        tell_(tell),
        result_(result) {}

  void walk(const fs::path& root, const fs::path& folder) {
    std::error_code failed;
    fs::recursive_directory_iterator each(folder, failed);
    for (; !failed && each != fs::recursive_directory_iterator(); each.increment(failed)) {
      std::error_code unknown;
      const bool isHidden = each->path().filename().string().starts_with('.');
      if (isHidden) {
        if (each->is_directory(unknown)) each.disable_recursion_pending();
        continue;
      }
      if (!fs::is_regular_file(each->symlink_status(unknown))) continue;
      bring(each->path().lexically_relative(root).string());
    }
    if (failed) fail(tree_.path + "/", failed.message());
  }

  void bring(const std::string& relative) {
    const std::string path = tree_.path + "/" + relative;
    const auto place = placeOf(trees_, recordAt(tree_.host, path));
    if (!place) return fail(path, "has a name that no upload may have");
    if (place->tree != &tree_) return;  // another's
    const auto done = store(*place, path);
    if (!done) return fail(path, done.error().message);
    ++(*done ? result_.stored : result_.same);
    if (*done) tell_(tree_.host, path, "was stored");
  }

 private:
  void fail(const std::string& path, std::string_view why) {
    ++result_.failed;
    tell_(tree_.host, path, why);
  }

  /// Whether it had to be.
  Result<bool> store(const RecordPlace& place, const std::string& path) {
    const auto root = SiteRoot::openAt(tree_.args->root, tree_.args->symlinks, keys_);
    if (!root) return root.error();
    const auto opened = root->open(place.relative, Waiting::kAllowed);
    if (!opened) return opened.error();
    const auto sum = sha256OfFile(opened->fd.get());
    if (!sum) return sum.error();
    const auto before = storage_.latestUpload(tree_.host, path);
    if (!before) return before.error();
    if (*before && (*before)->sha256 == *sum) {
      if (uploadOf(opened->fd.get()) < (*before)->id) mark(opened->fd.get(), (*before)->id);
      return false;
    }
    UploadRecord record = recordAt(tree_.host, path);
    record.time = wallNow();
    record.protocol = "import";
    record.mime = mediaTypeOf(fs::path(path).filename().string());
    if (record.mime.empty()) record.mime = "text/gemini";
    record.sha256 = *sum;
    record.blocks = 1;
    if (tree_.args->upload->createDirectories) {
      const auto folders = std::count(place.relative.begin(), place.relative.end(), '/');
      record.blocks += static_cast<std::uint64_t>(folders);
    }
    const auto content = read(*root, place, record);
    if (!content) return content.error();
    const auto id = commit(record, *content);
    if (!id) return id.error();
    mark(opened->fd.get(), *id);
    return true;
  }

  /// Only what it is in the database counts: a file without its mark is compared again.
  static void mark(int file, std::int64_t upload) { static_cast<void>(markUpload(file, upload)); }

  /// All but the last part goes into the storage; the record gets the size.
  Result<NewContent> read(const SiteRoot& root, const RecordPlace& place, UploadRecord& record) {
    const auto folder = root.open(place.folder(), Waiting::kAllowed);
    if (!folder) return folder.error();
    OldFile file;
    const std::string name = fs::path(place.relative).filename().string();
    if (auto opened = file.open(folder->fd.get(), name); !opened) return opened.error();
    if (!file.isThere()) return Error{ErrorCode::kNotFound, "is gone"};
    NewContent content;
    for (;;) {
      auto part = file.read();
      if (!part) return part.error();
      if (part->size() < kContentPart && !part->empty()) content.rest = std::move(*part);
      if (part->empty()) break;
      if (part->size() < kContentPart) continue;
      const auto appended =
          repeated({}, [&] { return storage_.appendContent(content.content, *part, record.time); });
      if (!appended) return appended.error();
      content.content = *appended;
    }
    record.size = file.size();
    if (file.sha256() == record.sha256 && file.isStillSo(folder->fd.get(), name)) return content;
    return Error{ErrorCode::kBusy, "keeps changing"};
  }

  /// The record's id.
  Result<std::int64_t> commit(const UploadRecord& record, const NewContent& content) {
    return repeated({placeKey(record.host, record.path)}, [&]() -> Result<std::int64_t> {
      const auto before = storage_.latestUpload(record.host, record.path);
      if (!before) return before.error();
      const std::string old = *before ? (*before)->sha256 : "";
      const auto pending = storage_.announceUpload(record);
      if (!pending) return pending;
      if (!old.empty() && old != record.sha256 && keep_) {
        if (auto kept = keepHeldVersion(storage_, *pending, **before, *keep_); !kept)
          return kept.error();
      }
      auto brought = storage_.bringContent(*pending, content, record.time);
      if (!brought) return brought.error();
      const auto outcome = old.empty() ? UploadOutcome::kStored : UploadOutcome::kReplaced;
      return storage_.settleUpload(*pending, outcome, old);
    });
  }

  /// Runs `body` as a transaction, again where another host was in the way.
  template <class Body>
  std::invoke_result_t<Body> repeated(const StorageKeys& keys, Body body) {
    auto done = atomically(storage_, Access::kWrite, body, keys);
    for (int tries = 1; tries < kTries && !done && done.error().code == ErrorCode::kAgain;
         ++tries) {
      done = atomically(storage_, Access::kWrite, body, keys);
    }
    return done;
  }

  Storage& storage_;
  const UploadTrees& trees_;
  const UploadTree& tree_;
  const std::optional<KeepOrder> keep_;
  const std::shared_ptr<const PrivateFiles> keys_;
  const TellOfFile& tell_;
  ImportedContent& result_;
};

}  // namespace

Result<VerifiedContent> verifyContent(const Config& config, DatabaseLink& link,
                                      const TellOfFile& tell) {
  const UploadTrees trees = uploadTreesOf(config);
  VerifiedContent result;
  std::map<Named, std::string> doubts;
  auto page = link.allFiles(nullptr, kFilesAtOnce);
  if (!page) return page.error();
  const std::uint64_t position = page->position;
  while (!page->files.empty()) {
    for (const SharedFile& file : page->files) {
      auto difference = differenceOf(trees, file);
      if (!difference) return difference.error();
      if (difference->empty()) {
        ++result.same;
      } else if (doubts.size() < kMostDoubts) {
        doubts[{file.host, file.path}] = std::move(*difference);
      } else {
        ++result.different;
        tell(file.host, file.path, *difference);
      }
    }
    const SharedFile last = page->files.back();
    page = link.allFiles(&last, kFilesAtOnce);
    if (!page) return page.error();
  }
  const auto changed = link.changesSince(position);
  if (!changed) return changed.error();
  for (const SharedFile& file : changed->files) doubts.erase({file.host, file.path});
  for (const auto& [named, difference] : doubts) tell(named.first, named.second, difference);
  result.different += doubts.size();
  return result;
}

Result<ImportedContent> importContent(const Config& config, Storage& storage,
                                      const fs::path& folder, const TellOfFile& tell) {
  std::error_code failed;
  const fs::path real = fs::canonical(folder, failed);
  if (failed) return Error{ErrorCode::kNotFound, folder.string() + ": " + failed.message()};
  const UploadTrees trees = uploadTreesOf(config);
  ImportedContent result;
  bool isKnown = false;
  for (const UploadTree& tree : trees) {
    const fs::path root = fs::canonical(tree.args->root, failed);
    if (failed || !isWithin(real.string(), root.string())) continue;
    isKnown = true;
    Import(config, storage, trees, tree, tell, result).walk(root, real);
  }
  if (isKnown) return result;
  return Error{ErrorCode::kInvalid, real.string() + " lies in no folder that takes uploads"};
}

}  // namespace egalaxyd
