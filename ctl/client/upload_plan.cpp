#include "ctl/client/upload_plan.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>

#include "common/base/errno_error.h"
#include "common/base/regular_file.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

bool isHidden(const fs::path& name) { return name.native().starts_with('.'); }

/// What is below one folder that the command line names.
class FolderWalk {
 public:
  FolderWalk(const fs::path& root, const Target& target, UploadPlan& plan)
      : target_(target), plan_(plan) {
    std::error_code failed;  // then no link leads into it
    root_ = fs::canonical(root, failed);
  }

  /// `below` is how to come from the root to `folder`: "" or "sub/".
  void add(const fs::path& folder, const std::string& below) {
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator each(folder, failed), end; !failed && each != end;
         each.increment(failed)) {
      names.push_back(each->path().filename().string());
    }
    if (failed) plan_.failed.push_back(errnoError("read " + folder.string(), failed.value()));
    std::ranges::sort(names);
    for (const std::string& name : names) addEntry(folder / name, below + name);
  }

 private:
  void addEntry(const fs::path& path, const std::string& place) {
    struct stat info {};
    if (isHidden(path.filename())) return skip(path, "hidden");
    if (::lstat(path.c_str(), &info) != 0) {
      plan_.failed.push_back(errnoError("read " + path.string(), errno));
    } else if (S_ISDIR(info.st_mode)) {
      add(path, place + "/");
    } else if (S_ISLNK(info.st_mode) && !leadsToOurs(path, info)) {
      skip(path, "a symbolic link that leads to no file in this folder");
    } else if (!S_ISREG(info.st_mode)) {
      skip(path, notRegular(info.st_mode).message);
    } else {
      plan_.uploads.push_back(
          {path.string(), pageBelow(target_, place), static_cast<std::uint64_t>(info.st_size)});
    }
  }

  /// A link must not carry out what lies elsewhere or is hidden. `info` is the file's then.
  bool leadsToOurs(const fs::path& link, struct stat& info) const {
    std::error_code failed;
    const fs::path real = fs::canonical(link, failed);
    if (failed || root_.empty() || ::stat(real.c_str(), &info) != 0) return false;
    const fs::path place = real.lexically_relative(root_);  // begins with ".." when it is outside
    return S_ISREG(info.st_mode) && !place.empty() &&
           std::none_of(place.begin(), place.end(), &isHidden);
  }

  void skip(const fs::path& path, std::string_view why) {
    plan_.skipped.push_back(fmt::format("{}: {}", path.string(), why));
  }

  const Target& target_;
  UploadPlan& plan_;
  fs::path root_;
};

}  // namespace

bool isFolder(const std::string& name) {
  struct stat info {};
  return ::stat(name.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<UploadPlan> planUploads(const std::vector<std::string>& sources, const Target& folder) {
  UploadPlan plan;
  for (const std::string& source : sources) {
    struct stat info {};
    if (::stat(source.c_str(), &info) != 0) {
      plan.failed.push_back(errnoError("open " + source, errno));
    } else if (S_ISDIR(info.st_mode)) {
      FolderWalk(source, folder, plan).add(source, "");
    } else {
      const std::string name = fs::path(source).filename().string();
      const auto size = S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
      plan.uploads.push_back({source, pageBelow(folder, name), size});
    }
  }
  std::map<std::string, std::string> taken;
  for (const PlannedUpload& upload : plan.uploads) {
    const auto [other, isNew] = taken.emplace(upload.target.url, upload.file);
    if (isNew) continue;
    return Error{ErrorCode::kInvalid, fmt::format("{} and {} would both become {}", other->second,
                                                  upload.file, upload.target.url)};
  }
  return plan;
}

}  // namespace egalaxyd::ctl
