#include "worker/module/directory_site.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/glob.h"
#include "common/wire/media_type.h"
#include "worker/base/lane.h"
#include "worker/file/directory_page.h"
#include "worker/file/file_body.h"
#include "worker/site/answers.h"
#include "worker/upload/upload_failure.h"
#include "worker/upload/upload_rules.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

// Listings stay in memory until they are sent: slow readers of a huge folder must not fill it.
constexpr std::size_t kMaxListingBytes = 4 * 1024 * 1024;

Response rootIsAway() {
  return Response::failure(Status::kServerUnavailable, "Away for a moment, try again soon");
}

/// Ready to be asked for each file.
DirectoryArgs inOrder(DirectoryArgs args) {
  std::map<std::string, std::string> types;
  for (const auto& [extension, type] : args.mime) types.emplace(lowerCase(extension), type);
  args.mime = std::move(types);
  std::ranges::sort(args.files, [](const FileRule& a, const FileRule& b) {
    return std::pair(b.pattern.size(), std::string_view(a.pattern)) <
           std::pair(a.pattern.size(), std::string_view(b.pattern));
  });
  return args;
}

bool namesFolder(const Request& request) {
  const std::string_view path = request.sitePath();
  return path.empty() || path.ends_with('/');
}

/// A listing that adds its size to `total` for as long as it exists.
class ListingBody final : public BodySource {
 public:
  ListingBody(std::string text, std::size_t& total)
      : bytes_(text.size()), total_(total), text_(std::move(text)) {
    total_ += bytes_;
  }
  ~ListingBody() override { total_ -= bytes_; }
  BodyChunk pull(std::span<char> scratch) override { return text_.pull(scratch); }

 private:
  const std::size_t bytes_;
  std::size_t& total_;
  StringBody text_;
};

}  // namespace

DirectorySite::DirectorySite(std::string host, DirectoryArgs args,
                             std::shared_ptr<const ServedRoot> root,
                             std::shared_ptr<const PrivateFiles> neverServed)
    : host_(std::move(host)),
      args_(inOrder(std::move(args))),
      root_(std::move(root)),
      neverServed_(std::move(neverServed)),
      sidecars_(args_.sidecar) {}

void DirectorySite::handle(Request request, Responder reply, Services& services) {
  Root root = root_->now();
  if (!root) return std::move(reply).send(rootIsAway());
  if (request.upload) {
    return handleUpload(std::move(root), std::move(request), std::move(reply), services);
  }
  handleIn(std::move(root), std::move(request), std::move(reply), services);
}

void DirectorySite::handleIn(std::shared_ptr<const SiteRoot> root, Request request, Responder reply,
                             Services& services) {
  if (isHidden(request.sitePath())) return std::move(reply).send(Response::notFound());
  serve(std::move(root), std::move(request), std::move(reply), services);
}

UploadRight DirectorySite::uploadRight(const Request& request, std::string_view) const {
  if (!args_.upload || !request.upload) return UploadRight::kNone;
  return egalaxyd::uploadRight(*args_.upload, request);
}

std::string_view DirectorySite::tokenName(const Request& request, std::string_view) const {
  if (!args_.upload || !request.upload) return {};
  return egalaxyd::tokenName(*args_.upload, request.upload->token);
}

bool DirectorySite::isHidden(std::string_view sitePath) const {
  const std::string unfinished = std::string("/").append(kUnfinishedPrefix);
  return sitePath.find(args_.hidden ? unfinished : "/.") != std::string_view::npos ||
         sidecars_.isNamedBy(sitePath);
}

void DirectorySite::serve(Root root, Request request, Responder reply, Services& services) {
  auto found = find(*root, request, Waiting::kNever);
  if (found.ok() || found.error().code != ErrorCode::kBusy) {
    return answer(std::move(root), std::move(request), std::move(reply), std::move(found),
                  services);
  }

  auto cancellation = request.cancellation;
  services.tasks.start(serveLate(std::move(root), std::move(request), std::move(reply), services),
                       std::move(cancellation));
}

/// Finds on the pool what is not in memory.
Task<void> DirectorySite::serveLate(Root root, Request request, Responder reply,
                                    Services& services) {
  const auto look = [&] { return find(*root, request, Waiting::kAllowed); };
  auto found = co_await services.pool.run(look);
  answer(std::move(root), std::move(request), std::move(reply), std::move(found), services);
}

/// When a client edits a file that does not exist, it gets an empty one.
void DirectorySite::answer(Root root, Request request, Responder reply, Result<Found> found,
                           Services& services) {
  const bool missing = !found && found.error().code == ErrorCode::kNotFound;
  const bool isListing = found && std::holds_alternative<Listing>(*found);
  const bool denied = !found && found.error().code == ErrorCode::kPermission;
  if (((missing || isListing) && root->isRemoved()) || (denied && root->isClosed())) {
    return std::move(reply).send(rootIsAway());
  }
  if (request.upload && missing) {
    UploadPlace place = placeOf(std::move(root), request);
    return services.uploads.offerNew(std::move(place), host_, std::move(request), std::move(reply));
  }
  std::move(reply).send(responseOf(request, std::move(found), services));
}

UploadPlace DirectorySite::placeOf(Root root, const Request& request) const {
  UploadPlace place;
  place.root = std::move(root);
  place.relative = request.sitePath().substr(1);
  place.neverServed = neverServed_;
  place.createFolders = args_.upload->createDirectories;
  place.newFolders = args_.upload->newFolders;
  place.depth = args_.upload->depth;
  place.minFree = args_.upload->minFree;
  place.mode = args_.upload->mode;
  place.size = request.upload->size;
  return place;
}

void DirectorySite::handleUpload(Root root, Request request, Responder reply, Services& services) {
  if (auto refusal = refuse(request)) {
    return services.uploads.refuse(host_, request, std::move(*refusal), std::move(reply));
  }
  if (root->isRemoved()) {
    return services.uploads.refuse(host_, request, rootIsAway(), std::move(reply));
  }
  if (namesFolder(request)) {
    auto cancellation = request.cancellation;
    return services.tasks.start(
        handleIndex(std::move(root), std::move(request), std::move(reply), services),
        std::move(cancellation));
  }
  std::string readPath = request.path;
  carryOut(std::move(root), std::move(readPath), std::move(request), std::move(reply), services);
}

/// An upload to a folder, or an edit of one, means its index file.
Task<void> DirectorySite::handleIndex(Root root, Request request, Responder reply,
                                      Services& services) {
  if (!request.path.ends_with('/')) request.path += '/';
  std::string readPath = request.path;
  const auto find = [&] { return indexOf(*root, std::string(request.sitePath().substr(1))); };
  const auto index = co_await services.pool.run(find);
  if (!index) {
    co_return services.uploads.refuse(host_, request, uploadFailure(index.error()),
                                      std::move(reply));
  }
  request.path += *index;
  carryOut(std::move(root), std::move(readPath), std::move(request), std::move(reply), services);
}

/// The index file that the folder has, or the first that it could have.
Result<std::string> DirectorySite::indexOf(const SiteRoot& root, const std::string& folder) const {
  if (args_.index.empty()) return Error{ErrorCode::kExists, "a folder without an index"};
  for (const std::string& name : args_.index) {
    const auto opened = root.open(folder + name, Waiting::kAllowed);
    if (opened && !opened->isFolder()) return name;
    if (!opened && opened.error().code != ErrorCode::kNotFound) return opened.error();
  }
  return args_.index.front();
}

/// `readPath`: where the client is sent afterwards.
void DirectorySite::carryOut(Root root, std::string readPath, Request request, Responder reply,
                             Services& services) {
  if (request.upload->edit) {
    return serve(std::move(root), std::move(request), std::move(reply), services);
  }
  UploadOrder order;
  order.place = placeOf(std::move(root), request);
  order.host = host_;
  order.readPath = std::move(readPath);
  order.mime = uploadType(request);
  const UploadArgs& rules = *args_.upload;
  if (rules.quota || rules.totalQuota || rules.files) {
    constexpr std::uint64_t kNone = UploadQuota::kUnlimited;
    order.bounds.quota =
        UploadQuota{request.path.substr(0, request.mountLength), rules.quota.value_or(kNone),
                    rules.totalQuota.value_or(kNone), rules.files.value_or(kNone)};
  }
  order.blocks = uploadBlocks(rules, request);
  order.bounds.ownOnly = rules.overwrite == Overwrite::kOwn;
  order.keep = keepOrder(rules, request.path.substr(0, request.mountLength));
  services.uploads.carryOut(std::move(order), std::move(request), std::move(reply));
}

std::optional<Response> DirectorySite::refuse(const Request& request) const {
  if (auto refusal = refuseUpload(*args_.upload, request)) return refusal;
  if (namesFolder(request) && args_.index.empty()) {
    return Response::failure(Status::kPermanentFailure,
                             "A folder cannot be written: name a file in it");
  }
  return isHidden(request.sitePath()) ? std::optional(Response::notFound()) : std::nullopt;
}

Result<DirectorySite::Found> DirectorySite::find(const SiteRoot& root, const Request& request,
                                                 Waiting waiting) const {
  const std::string_view path = request.sitePath();
  if (path.empty()) return Found(MissingSlash{});
  const std::string_view relative = path.substr(1);
  if (path.ends_with('/')) return findInFolder(root, request, relative, waiting, 1);
  auto found = findFile(root, std::string(relative), request.upload.has_value(), waiting);
  const std::string_view name = relative.substr(relative.rfind('/') + 1);
  const auto page = pageNamed(name);
  if (!found && found.error().code == ErrorCode::kNotFound && args_.listing && page) {
    return findInFolder(root, request, relative.substr(0, relative.size() - name.size()), waiting,
                        *page);
  }
  if (!found) return std::move(found).error();
  return *found ? std::move(**found) : Found(MissingSlash{});
}

Result<std::optional<DirectorySite::Found>> DirectorySite::findFile(const SiteRoot& root,
                                                                    const std::string& relative,
                                                                    bool isEdit,
                                                                    Waiting waiting) const {
  using Perhaps = std::optional<Found>;
  auto note = sidecars_.of(root, relative, waiting);
  if (!note) return std::move(note).error();
  if (note->status != 0 && !isEdit) return Perhaps(Header{note->status, std::move(note->meta)});
  auto opened = root.open(relative, waiting);
  if (!opened) return std::move(opened).error();
  if (opened->isFolder()) return Perhaps();
  return Perhaps(FoundFile{mediaTypeFor(relative, *note), std::move(opened).value()});
}

Result<DirectorySite::Found> DirectorySite::findInFolder(const SiteRoot& root,
                                                         const Request& request,
                                                         std::string_view folder, Waiting waiting,
                                                         std::size_t page) const {
  for (const std::string& name : args_.index) {
    auto found = findFile(root, std::string(folder) + name, request.upload.has_value(), waiting);
    if (found.ok() && *found) {
      if (page != 1) return Error{ErrorCode::kNotFound, "no listing"};
      return std::move(**found);
    }
    if (!found && found.error().code != ErrorCode::kNotFound) return std::move(found).error();
  }
  if (!args_.listing) return Error{ErrorCode::kNotFound, "no index"};
  if (waiting == Waiting::kNever) return Error{ErrorCode::kBusy, "a listing takes time"};
  const bool isMount = folder.empty();
  if (!isMount) folder.remove_suffix(1);
  DirectoryPageRequest wanted;
  wanted.folder = folder;
  wanted.title = request.path.substr(0, request.path.rfind('/') + 1);
  wanted.hidden = args_.hidden;
  wanted.hasParent = !isMount;
  wanted.listing = *args_.listing;
  wanted.page = page;
  wanted.leftOut = sidecars_.name();
  auto text = directoryPage(root, wanted);
  if (!text) return std::move(text).error();
  return Found(Listing{std::move(text).value()});
}

Response DirectorySite::responseOf(const Request& request, Result<Found> found,
                                   Services& services) {
  if (request.upload) return editResponse(std::move(found), services);
  if (!found) return openFailure(found.error());
  if (auto* hit = std::get_if<FoundFile>(&*found)) {
    return fileResponse(std::move(hit->file), std::move(hit->type), services);
  }
  if (auto* header = std::get_if<Header>(&*found)) {
    const auto status = static_cast<Status>(header->status);
    if (status == Status::kSuccess) {
      return Response::success(std::move(header->meta), std::make_unique<StringBody>(""));
    }
    return {status, std::move(header->meta), nullptr};
  }
  if (auto* listing = std::get_if<Listing>(&*found)) {
    return listingResponse(std::move(listing->text));
  }
  return redirectToFolder(request);
}

Response DirectorySite::editResponse(Result<Found> found, Services& services) const {
  if (!found) return openFailure(found.error());
  auto* hit = std::get_if<FoundFile>(&*found);
  if (hit == nullptr) return Response::failure(Status::kBadRequest, "A folder cannot be edited");
  return fileResponse(std::move(hit->file), std::move(hit->type), services);
}

Response DirectorySite::listingResponse(std::string text) {
  if (listingBytes_ > 0 && listingBytes_ + text.size() > kMaxListingBytes) return busyFailure();
  return Response::success(describeMediaType("text/gemini", "", args_.lang),
                           std::make_unique<ListingBody>(std::move(text), listingBytes_));
}

/// `note`: what sidecars say; what they do not say is the operator's.
std::string DirectorySite::mediaTypeFor(std::string_view relative, const FileNote& note) const {
  const auto rule = std::ranges::find_if(
      args_.files, [&](const FileRule& each) { return fitsGlob(each.pattern, relative); });
  const bool isRuled = rule != args_.files.end();
  std::string type = note.type;
  if (type.empty() && isRuled) type = rule->mime;
  if (type.empty()) type = typeByName(relative.substr(relative.rfind('/') + 1));
  type += note.parameters;
  const std::string& charset = isRuled && !rule->charset.empty() ? rule->charset : args_.charset;
  const std::string& lang = isRuled && !rule->lang.empty() ? rule->lang : args_.lang;
  return describeMediaType(type, note.charset.value_or(charset), note.lang.value_or(lang));
}

std::string_view DirectorySite::typeByName(std::string_view fileName) const {
  const std::string name = lowerCase(fileName);
  // The leftmost dot begins the longest extension; a leading dot only hides the file.
  for (auto dot = name.find('.', 1); dot != std::string::npos && !args_.mime.empty();
       dot = name.find('.', dot + 1)) {
    const auto known = args_.mime.find(name.substr(dot));
    if (known != args_.mime.end()) return known->second;
  }
  const std::string_view type = mediaTypeOf(fileName);
  return type.empty() ? std::string_view(args_.defaultType) : type;
}

}  // namespace egalaxyd
