#include "worker/site/file_site.h"

#include <memory>
#include <utility>

#include "common/media_type.h"
#include "worker/blocking_pool.h"
#include "worker/file/file_body.h"

namespace egalaxyd {
namespace {

std::string mediaTypeFor(const FileArgs& args, std::string_view lang) {
  std::string_view type = args.mime;
  const std::string name = args.path.filename().string();
  if (type.empty()) type = mediaTypeOf(name);
  if (type.empty()) type = "application/octet-stream";
  return describeMediaType(type, "", lang);
}

Response responseOf(Result<OpenFile> opened, const std::string& mediaType, Services& services) {
  if (!opened) return openFailure(opened.error());
  if (opened->isFolder()) return Response::notFound();
  return fileResponse(std::move(opened).value(), mediaType, services);
}

}  // namespace

FileSite::FileSite(FileArgs args, std::string_view lang)
    : path_(args.path), mediaType_(mediaTypeFor(args, lang)) {}

void FileSite::handle(Request request, Responder reply, Services& services) {
  const std::string_view below = request.sitePath();
  const bool isMount = request.mountLength == 0 ? below == "/" : below.empty();
  if (!isMount) return std::move(reply).send(Response::notFound());

  auto opened = openFile(path_, Waiting::kNever);
  if (opened.ok() || opened.error().code != ErrorCode::kBusy) {
    return std::move(reply).send(responseOf(std::move(opened), mediaType_, services));
  }
  // Shared, so that it is still here when the pool takes no more.
  auto waiting = std::make_shared<Responder>(std::move(reply));
  const bool queued = services.pool.submit(
      [path = path_] { return openFile(path, Waiting::kAllowed); },
      [this, waiting, &services](Result<OpenFile> late) {
        std::move(*waiting).send(responseOf(std::move(late), mediaType_, services));
      });
  if (!queued) std::move(*waiting).send(busyFailure());
}

}  // namespace egalaxyd
