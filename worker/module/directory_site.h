// module = "directory".
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/site_root.h"
#include "worker/file/served_root.h"
#include "worker/file/sidecars.h"
#include "worker/site/site.h"
#include "worker/upload/upload_file.h"

namespace egalaxyd {

/// A tree of files: files, index files, listings in pages, and uploads where they are allowed. What
/// is in memory is answered at once, the rest from the pool. A request keeps the root that it began
/// with, even if that is replaced meanwhile; while there is no root the answer is 41.
class DirectorySite final : public Site {
 public:
  /// `host`: the site's name, for records. `root` is args.root, open, and never serves the files in
  /// `neverServed`; uploads do not replace those either. nullptr: only handleIn() is called.
  DirectorySite(std::string host, DirectoryArgs args, std::shared_ptr<const ServedRoot> root,
                std::shared_ptr<const PrivateFiles> neverServed);
  void handle(Request request, Responder reply, Services& services) override;
  /// As handle(), of another folder than its own, for a request that is no upload.
  void handleIn(std::shared_ptr<const SiteRoot> root, Request request, Responder reply,
                Services& services);
  UploadRight uploadRight(const Request& request, std::string_view) const override;
  std::string_view tokenName(const Request& request, std::string_view) const override;
  AcceptedBody takes(std::string_view) const override {
    return args_.upload ? AcceptedBody::kUploads : AcceptedBody::kNothing;
  }

 private:
  struct FoundFile {
    std::string type;  ///< as META has it
    OpenFile file;
  };
  /// What a sidecar says in place of a file.
  struct Header {
    int status;
    std::string meta;
  };
  struct MissingSlash {};
  struct Listing {
    std::string text;
  };
  using Found = std::variant<FoundFile, MissingSlash, Listing, Header>;
  using Root = std::shared_ptr<const SiteRoot>;

  void serve(Root root, Request request, Responder reply, Services& services);
  Task<void> serveLate(Root root, Request request, Responder reply, Services& services);
  void handleUpload(Root root, Request request, Responder reply, Services& services);
  Task<void> handleIndex(Root root, Request request, Responder reply, Services& services);
  void carryOut(Root root, std::string readPath, Request request, Responder reply,
                Services& services);
  Result<std::string> indexOf(const SiteRoot& root, const std::string& folder) const;
  std::optional<Response> refuse(const Request& request) const;
  void answer(Root root, Request request, Responder reply, Result<Found> found, Services& services);
  UploadPlace placeOf(Root root, const Request& request) const;
  bool isHidden(std::string_view sitePath) const;
  /// Any thread. kBusy: ask the pool.
  Result<Found> find(const SiteRoot& root, const Request& request, Waiting waiting) const;
  /// nullopt: a folder.
  Result<std::optional<Found>> findFile(const SiteRoot& root, const std::string& relative,
                                        bool isEdit, Waiting waiting) const;
  /// `folder`: below the root, "" or with a slash at its end; `page`: of its listing.
  Result<Found> findInFolder(const SiteRoot& root, const Request& request, std::string_view folder,
                             Waiting waiting, std::size_t page) const;
  Response responseOf(const Request& request, Result<Found> found, Services& services);
  Response editResponse(Result<Found> found, Services& services) const;
  Response listingResponse(std::string text);
  std::string mediaTypeFor(std::string_view relative, const FileNote& note) const;
  std::string_view typeByName(std::string_view fileName) const;

  const std::string host_;
  /// The extensions in `mime` are lower-case, the longest pattern of `files` comes first.
  const DirectoryArgs args_;
  const std::shared_ptr<const ServedRoot> root_;
  const std::shared_ptr<const PrivateFiles> neverServed_;
  mutable Sidecars sidecars_;
  std::size_t listingBytes_ = 0;  ///< of listings that are being sent; loop thread only
};

}  // namespace egalaxyd
