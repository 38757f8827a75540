#include "worker/follower/content_copies.h"

#include <spdlog/spdlog.h>

#include <limits>
#include <utility>

#include "common/base/sha256.h"
#include "common/content/upload_mark.h"
#include "common/system/log.h"
#include "worker/upload/unfinished.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {
namespace {

Result<RecordPlace> placeOfFile(const UploadTrees& trees, const SharedFile& file) {
  UploadRecord record;
  record.host = file.host;
  record.path = file.path;
  return placeOf(trees, record);
}

/// What has the name now, if it is a file.
UniqueFd openHere(const RecordPlace& place) {
  auto opened = place.root.open(place.relative, Waiting::kAllowed);
  return opened && !opened->isFolder() ? std::move(opened->fd) : UniqueFd();
}

Error isGone() { return {ErrorCode::kBusy, "its content has been replaced meanwhile"}; }

void tellOfLoss(const SharedFile& file) {
  spdlog::warn("{} on {} was not what the database has, and is replaced by that",
               logQuote(file.path), logQuote(file.host));
}

}  // namespace

ContentCopies::ContentCopies(const Config& config)
    : trees_(uploadTreesOf(config)),
      neverServed_(std::make_shared<const PrivateFiles>(PrivateFiles::of(config))) {}

Result<Copied> ContentCopies::follow(const SharedFile& file, const Read& read) const {
  auto place = placeOfFile(trees_, file);
  if (!place && place.error().code == ErrorCode::kNotFound) return Copied::kNotHere;
  if (!place) return place.error();
  const UniqueFd here = openHere(*place);
  const std::int64_t upload = here ? uploadOf(here.get()) : 0;
  if (upload >= file.upload) return Copied::kNothing;
  if (here && upload == 0) {
    const auto sum = sha256OfFile(here.get());
    if (!sum) return sum.error();
    if (*sum == file.sha256) {
      auto marked = markUpload(here.get(), file.upload);
      return marked ? Result<Copied>(Copied::kNothing) : marked.error();
    }
    tellOfLoss(file);
  }
  if (!file.sha256.empty()) return write(std::move(*place), file, read);
  return here ? remove(std::move(*place), file) : Copied::kNothing;
}

Result<Copied> ContentCopies::write(RecordPlace place, const SharedFile& file,
                                    const Read& read) const {
  UploadPlace target = uploadPlaceOf(std::move(place), neverServed_, file.size);
  target.newFolders = std::numeric_limits<std::size_t>::max();  // the upload had room for them
  UploadFile copy(std::move(target));
  copy.allowName();
  Sha256 sum;
  std::uint64_t size = 0;
  for (std::uint64_t part = 0; part == 0 || size < file.size; ++part) {
    const auto bytes = read(file.content, part);
    if (!bytes) return bytes.error();
    if (bytes->empty() && size < file.size) return isGone();
    if (auto written = copy.append(*bytes); !written) return written.error();
    sum.add(*bytes);
    size += bytes->size();
  }
  if (size != file.size || sum.hex() != file.sha256) return isGone();
  if (auto finished = copy.finish(); !finished) return finished.error();
  const auto placed = copy.publishCopy(file.upload);
  if (!placed) return placed.error();
  return *placed ? Copied::kWritten : Copied::kNothing;
}

Result<Copied> ContentCopies::remove(RecordPlace place, const SharedFile& file) const {
  UploadFile copy(uploadPlaceOf(std::move(place), neverServed_, 0));
  const auto removed = copy.removeCopy(file.upload);
  if (!removed) return removed.error();
  return *removed ? Copied::kRemoved : Copied::kNothing;
}

void ContentCopies::sweepBeside(const SharedFile& file) const {
  const auto place = placeOfFile(trees_, file);
  if (!place) return;
  const auto folder = place->root.open(place->folder(), Waiting::kAllowed);
  if (folder && folder->isFolder()) removeAllAbandoned(folder->fd.get());
}

}  // namespace egalaxyd
