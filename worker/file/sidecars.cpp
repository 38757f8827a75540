#include "worker/file/sidecars.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "common/system/log.h"

namespace egalaxyd {
namespace {

constexpr std::chrono::seconds kGoodFor{1};
constexpr std::chrono::minutes kBetweenWarnings{1};
/// Of one mount in one worker. When there are more, all are forgotten and read again.
constexpr std::size_t kMostNotesBytes = 16 * 1024 * 1024;
/// What an entry takes besides what was read; what is read takes some times its length.
constexpr std::size_t kEntryBytes = 512;
constexpr std::size_t kNotesPerByte = 16;

/// What the file holds; nullopt when it cannot be read.
std::optional<std::string> contentOf(const OpenFile& file) {
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got =
        ::pread(file.fd.get(), text.data() + have, text.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  return text;
}

}  // namespace

Sidecars::Version Sidecars::versionOf(const struct stat& status) {
  return {status.st_dev,         status.st_ino,          status.st_size,
          status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
          status.st_ctim.tv_nsec};
}

bool Sidecars::isNamedBy(std::string_view sitePath) const {
  if (name_.empty()) return false;
  for (std::size_t at = sitePath.find(name_); at != std::string_view::npos;
       at = sitePath.find(name_, at + 1)) {
    const std::size_t end = at + name_.size();
    const bool begins = at > 0 && sitePath[at - 1] == '/';
    if (begins && (end == sitePath.size() || sitePath[end] == '/')) return true;
  }
  return false;
}

Result<FileNote> Sidecars::of(const SiteRoot& root, std::string_view relative, Waiting waiting) {
  FileNote note;
  if (name_.empty()) return note;
  std::vector<std::size_t> folders{0};  // where the path below each begins
  for (std::size_t slash = relative.find('/');
       slash != std::string_view::npos && folders.size() < kMostLevels;
       slash = relative.find('/', slash + 1)) {
    folders.push_back(slash + 1);
  }
  for (auto begin = folders.rbegin(); begin != folders.rend(); ++begin) {
    const auto notes = at(root, std::string(relative.substr(0, *begin)), waiting);
    if (!notes) return notes.error();
    if (*notes && (*notes)->tell(relative.substr(*begin), note)) break;
  }
  return note;
}

/// `folder` ends with a slash unless it is "".
Result<Sidecars::Notes> Sidecars::at(const SiteRoot& root, const std::string& folder,
                                     Waiting waiting) {
  const auto now = Clock::now();
  std::optional<Entry> known;
  {
    const MutexLock lock(mutex_);
    const auto found = entries_.find(folder);
    if (found != entries_.end()) known = found->second;
  }
  if (known && now < known->goodUntil) return known->notes;
  const std::string path = folder + name_;
  auto file = root.open(path, waiting);
  if (!file) {
    const ErrorCode code = file.error().code;
    if (code == ErrorCode::kBusy || code == ErrorCode::kNoSpace) return std::move(file).error();
    if (code != ErrorCode::kNotFound) warn(path, "it cannot be read: " + file.error().message);
  }
  if (!file || file->isFolder()) {
    keep(folder, {{}, nullptr, now + kGoodFor}, known ? 0 : kEntryBytes);
    return Notes();
  }
  const Version version = versionOf(file->status);
  if (known && known->version == version) {
    known->goodUntil = now + kGoodFor;
    keep(folder, *known, 0);
    return known->notes;
  }
  if (waiting == Waiting::kNever) return Error{ErrorCode::kBusy, "a sidecar is to be read"};
  Notes notes = read(*file, path);
  keep(folder, {version, notes, now + kGoodFor},
       kEntryBytes + kNotesPerByte * std::min<std::size_t>(file->size(), kMaxSidecarBytes));
  return notes;
}

Sidecars::Notes Sidecars::read(const OpenFile& file, const std::string& path) {
  if (file.size() > kMaxSidecarBytes) {
    warn(path, fmt::format("it counts for nothing: it has {} bytes, at most {} are read",
                           file.size(), kMaxSidecarBytes));
    return nullptr;
  }
  const auto text = contentOf(file);
  if (!text) {
    warn(path, "it cannot be read");
    return nullptr;
  }
  ParsedSidecar parsed =
      kind_ == Sidecar::kMeta ? parseMetaSidecar(*text) : parseMollySidecar(*text);
  if (!parsed.faults.empty()) {
    const SidecarFault& first = parsed.faults.front();
    const std::size_t others = parsed.faults.size() - 1;
    warn(path, fmt::format("line {}: {}; it is skipped{}", first.line, first.text,
                           others == 0 ? "" : fmt::format(", like {} more", others)));
  }
  return std::move(parsed.notes);
}

/// `bytes`: what it takes beyond what was there.
void Sidecars::keep(const std::string& folder, Entry entry, std::size_t bytes) {
  const MutexLock lock(mutex_);
  if (bytes > 0) bytes_ += bytes + folder.size();
  if (bytes_ > kMostNotesBytes) {
    entries_.clear();
    bytes_ = bytes + folder.size();
  }
  entries_.insert_or_assign(folder, std::move(entry));
}

/// Once a minute for all: whoever may write there must not fill the log.
void Sidecars::warn(const std::string& path, std::string_view text) {
  const auto now = Clock::now();
  {
    const MutexLock lock(mutex_);
    if (now < nextWarning_) return;
    nextWarning_ = now + kBetweenWarnings;
  }
  spdlog::warn("{}: {}", logQuote(path), text);
}

}  // namespace egalaxyd
