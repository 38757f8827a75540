#include "worker/file/served_root.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

using Kind = Presence::Kind;

constexpr const char* kNoFolder = "there is no such folder";
constexpr const char* kShut = "the account that serves may not enter it, or a folder on the way";
constexpr const char* kNoReading = "the sandbox allows no reading there";
constexpr const char* kNoWriting = "the sandbox allows no writing there";

bool isSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

bool mayReach(const std::filesystem::path& path, int how) {
  return ::faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0 || errno != EACCES;
}

/// Whether the sandbox forbids opening what the account may open.
bool isBeyond(const std::filesystem::path& path, int flags, int how) {
  const UniqueFd opened(::open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
  return !opened && errno == EACCES && mayReach(path, how);
}

bool isNowhere(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

/// `status` is filled in where it is here. nullopt: that cannot be seen now.
std::optional<Presence> lookAtFolder(const std::filesystem::path& path, struct stat& status) {
  const int error = ::stat(path.c_str(), &status) != 0 ? errno : 0;
  if (isNowhere(error)) return Presence{Kind::kAway, kNoFolder};
  if (error == EACCES) return Presence{Kind::kAway, kShut};
  if (error != 0) return std::nullopt;
  if (!S_ISDIR(status.st_mode)) return Presence{Kind::kAway, "it is no folder"};
  if (!mayReach(path, X_OK)) return Presence{Kind::kAway, kShut};
  return Presence{};
}

}  // namespace

Result<std::shared_ptr<ServedRoot>> ServedRoot::openAt(const std::filesystem::path& path,
                                                       SymlinkPolicy symlinks,
                                                       std::shared_ptr<const PrivateFiles> keys) {
  auto folder = SiteRoot::openAt(path, symlinks, keys);
  if (!folder && folder.error().code == ErrorCode::kNoSpace) return std::move(folder).error();
  Presence presence;
  if (!folder) {
    presence = presenceOfFolder(path);
    if (presence.kind == Kind::kHere) presence = {Kind::kAway, folder.error().message};
  }
  auto now = folder ? std::make_shared<const SiteRoot>(std::move(folder).value()) : nullptr;
  return std::shared_ptr<ServedRoot>(
      new ServedRoot(path, symlinks, std::move(keys), std::move(now), presence));
}

std::optional<ServedRoot::Seen> ServedRoot::look() const {
  using What = Seen::What;
  struct stat status {};
  auto seen = lookAtFolder(path_, status);
  if (!seen) return std::nullopt;
  if (seen->kind != Kind::kHere) return Seen{What::kNone, std::move(*seen)};
  if (now_ && isSame(now_->status(), status)) {
    if (presence_.kind == Kind::kHere) return std::nullopt;
    // The same as before, which was closed, or out of the sandbox, in the meantime.
    if (takesUploads_ && isBeyond(path_, O_TMPFILE | O_WRONLY, W_OK)) {
      return Seen{What::kKept, {Kind::kBeyond, kNoWriting}};
    }
    return Seen{What::kKept, {}};
  }
  if (mayReach(path_, R_OK) && isBeyond(path_, O_RDONLY | O_DIRECTORY, R_OK)) {
    return Seen{What::kKept, {Kind::kBeyond, kNoReading}};
  }
  auto folder = SiteRoot::openAt(path_, symlinks_, keys_);
  if (!folder) return Seen{What::kKept, {Kind::kAway, folder.error().message}};
  Seen found{What::kReplaced, {}, std::make_shared<const SiteRoot>(std::move(folder).value())};
  if (takesUploads_ && isBeyond(path_, O_TMPFILE | O_WRONLY, W_OK)) {
    found.presence = {Kind::kBeyond, kNoWriting};
  }
  return found;
}

void ServedRoot::take(Seen seen, bool tells) {
  using What = Seen::What;
  const std::string path = logQuote(path_.native());
  const bool isNews = tells && seen.presence != presence_;
  const bool had = now_ != nullptr;
  if (seen.what == What::kNone) now_ = nullptr;
  if (seen.what == What::kReplaced) now_ = std::move(seen.folder);
  presence_ = std::move(seen.presence);
  switch (presence_.kind) {
    case Kind::kHere:
      if (!tells || (seen.what == What::kKept && !isNews)) return;
      spdlog::info("the root {} {}", path, had && !isNews ? "was replaced" : "is back");
      return;
    case Kind::kAway:
      if (!isNews) return;
      if (had && !now_ && presence_.why != kShut) {
        spdlog::error("the root {} is gone: its requests are answered 41 until it is back", path);
      } else if (presence_.why == kShut) {
        spdlog::error(
            "the root {} is out of the workers' reach: {} (namei -l shows which); its requests are "
            "answered 41 until it is open",
            path, presence_.why);
      } else {
        spdlog::error("the root {} cannot be served: {}; {}", path, presence_.why,
                      now_ ? "the one before is still served" : "its requests are answered 41");
      }
      return;
    case Kind::kBeyond:
      if (!isNews) return;
      spdlog::warn("the root {} is there, but {}, which new workers change; until then {}", path,
                   presence_.why,
                   now_ ? "the one before is still served" : "its requests are answered 41");
      return;
  }
}

Presence presenceOfFolder(const std::filesystem::path& path) {
  struct stat status {};
  return lookAtFolder(path, status).value_or(Presence{Kind::kAway, "it cannot be looked at"});
}

Presence presenceOfFile(const std::filesystem::path& path) {
  struct stat status {};
  const int error = ::stat(path.c_str(), &status) != 0 ? errno : 0;
  if (isNowhere(error)) return {Kind::kAway, "there is no such file"};
  if (error != EACCES && error != 0) return {Kind::kAway, "it cannot be looked at"};
  if (error == 0 && !S_ISREG(status.st_mode)) return {Kind::kAway, "it is no regular file"};
  if (!mayReach(path, R_OK)) return {Kind::kAway, "the account that serves may not read it"};
  if (isBeyond(path, O_RDONLY, R_OK)) return {Kind::kBeyond, kNoReading};
  return {};
}

Result<std::shared_ptr<ServedRoot>> ServedRoots::open(
    const std::filesystem::path& path, SymlinkPolicy symlinks,
    const std::shared_ptr<const PrivateFiles>& keys, bool takesUploads) {
  auto& known = roots_[{path, symlinks}];
  if (!known) {
    auto root = ServedRoot::openAt(path, symlinks, keys);
    if (!root) {
      roots_.erase(std::pair(path, symlinks));
      return root;
    }
    known = std::move(root).value();
    places_.push_back({path, known, {}});
  }
  known->takesUploads_ |= takesUploads;
  return known;
}

void ServedRoots::watchFile(const std::filesystem::path& path) {
  places_.push_back({path, nullptr, presenceOfFile(path)});
}

const Presence& ServedRoots::presence(std::size_t index) const {
  const Place& place = places_.at(index);
  return place.root ? place.root->presence() : place.file;
}

/// In the pool. Those that are as they were are left out.
std::vector<ServedRoots::Change> ServedRoots::lookAtAll() const {
  if (files_) files_->refresh();
  std::vector<Change> changes;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if (place.root) {
      if (auto seen = place.root->look()) changes.push_back({i, std::move(seen), {}});
    } else if (Presence now = presenceOfFile(place.path); now != place.file) {
      changes.push_back({i, {}, std::move(now)});
    }
  }
  return changes;
}

void ServedRoots::take(Change change, bool tells) {
  Place& place = places_[change.index];
  if (place.root) return place.root->take(std::move(*change.root), tells);
  place.file = std::move(change.file);
  if (!tells) return;
  const std::string path = logQuote(place.path.native());
  if (place.file.kind == Kind::kHere) {
    spdlog::info("the file {} is back", path);
  } else {
    spdlog::warn("the file {} cannot be served: {}", path, place.file.why);
  }
}

void ServedRoots::look(Lane& pool, bool tells, std::function<void()> then) {
  if (looking_ || (places_.empty() && !files_)) return then ? then() : void();
  looking_ = true;
  pool.submit([this]() -> Result<std::vector<Change>> { return lookAtAll(); },
              [this, tells, then = std::move(then)](Result<std::vector<Change>> changes) {
                looking_ = false;
                if (changes) {  // else the next look is in a second
                  for (Change& change : *changes) take(std::move(change), tells);
                }
                if (then) then();
              });
}

}  // namespace egalaxyd
