#include "worker/file/directory_page.h"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/system/log.h"
#include "worker/file/once_per_file.h"
#include "worker/file/private_key.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kHeaderName = "HEADER.gmi";

struct CloseDir {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

struct Entry {
  std::string name;
  struct stat status;

  bool isFolder() const { return S_ISDIR(status.st_mode); }
};

/// The status that a request for this entry would get; nullopt if it would be refused. It is
/// opened, since only that shows that it is neither a private key nor the server's own.
Result<std::optional<struct stat>> statusOf(const SiteRoot& root, const std::string& prefix,
                                            int folder, const std::string& name) {
  using Status = std::optional<struct stat>;
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Status();
  const bool mayBeServed =
      S_ISDIR(status.st_mode) || S_ISREG(status.st_mode) || S_ISLNK(status.st_mode);
  if (!mayBeServed) return Status();
  auto target = root.open(prefix + name, Waiting::kAllowed);
  if (target) return Status(target->status);
  const bool forNow = target.error().code == ErrorCode::kNoSpace;  // such as descriptors
  return forNow ? Result<Status>(std::move(target).error()) : Status();
}

Result<DirStream> openStream(const SiteRoot& root, const std::string& folder) {
  auto opened = root.open(folder, Waiting::kAllowed);
  if (!opened) return std::move(opened).error();
  if (!opened->isFolder()) return Error{ErrorCode::kNotFound, "not a folder"};
  UniqueFd readable(::openat(opened->fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DirStream stream(readable ? ::fdopendir(readable.get()) : nullptr);
  if (!stream) return errnoError("list " + logQuote(folder), errno);
  (void)readable.release();
  return stream;
}

/// What a folder holds.
struct Names {
  std::vector<std::string> first;  ///< the first of them by name; empty if there are too many
  std::size_t all = 0;
};

/// Once per folder: clients must not fill the log.
void warnOfNames(const std::string& folder, const struct stat& status, std::size_t count,
                 const std::string& example) {
  static OncePerFile told;
  if (count == 0 || !told.isFirst(status)) return;
  spdlog::warn(
      "{} names in the folder {} are neither listed nor served, {} for one: they are not UTF-8 or "
      "hold control characters; rename them",
      count, logQuote("/" + folder), logQuote(example));
}

/// Keeps at most maxEntries names in memory, however many there are.
Result<Names> readNames(DIR* stream, const DirectoryPageRequest& request) {
  Names names;
  std::size_t odd = 0;
  std::string example;
  while (names.all <= request.maxRead) {
    errno = 0;
    const dirent* found = ::readdir(stream);
    if (found == nullptr && errno != 0)
      return errnoError("list " + logQuote(request.folder), errno);
    if (found == nullptr) break;
    std::string name = found->d_name;
    if (name == "." || name == ".." || name == kHeaderName || name == request.leftOut) {
      continue;
    }
    if (name.starts_with('.') && !request.hidden) continue;
    if (!isPrintable(name)) {
      if (odd++ == 0) example = std::move(name);
      continue;
    }
    ++names.all;
    // A max-heap: the last by name of those kept is at the front.
    const bool full = names.first.size() == request.maxEntries;
    if (full && (names.first.empty() || name >= names.first.front())) continue;
    if (full) {
      std::pop_heap(names.first.begin(), names.first.end());
      names.first.pop_back();
    }
    names.first.push_back(std::move(name));
    std::push_heap(names.first.begin(), names.first.end());
  }
  struct stat status {};
  if (::fstat(::dirfd(stream), &status) == 0) warnOfNames(request.folder, status, odd, example);
  if (names.all > request.maxRead) names.first.clear();
  return names;
}

/// The entries that a request could fetch, folders before files.
Result<std::vector<Entry>> entriesOf(const SiteRoot& root, const std::string& prefix, int folder,
                                     std::vector<std::string> names) {
  std::vector<Entry> entries;
  for (std::string& name : names) {
    const auto status = statusOf(root, prefix, folder, name);
    if (!status) return status.error();
    if (*status) entries.push_back({std::move(name), **status});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(!a.isFolder(), std::string_view(a.name)) <
           std::pair(!b.isFolder(), std::string_view(b.name));
  });
  return entries;
}

/// What a page says of the entries that it leaves out.
std::string noteOn(const Names& names, const DirectoryPageRequest& request) {
  if (names.all > request.maxRead) {
    return fmt::format("\nThis folder has more than {} entries. They are not listed.\n",
                       request.maxRead);
  }
  if (names.all <= request.maxEntries) return {};
  return fmt::format(
      "\nOnly the first {} of {} entries, in the order of their names, are listed.\n",
      request.maxEntries, names.all);
}

/// The text with every line end as LF, the last one included.
std::string withUnixLineEnds(std::string_view text) {
  std::string lines;
  lines.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    lines.push_back(text[i] == '\r' ? '\n' : text[i]);
  }
  if (!lines.empty() && lines.back() != '\n') lines.push_back('\n');
  return lines;
}

/// After preformatted text without an end, the links of the listing would be shown as text.
std::string withClosedText(std::string page) {
  constexpr std::string_view kToggle = "```";
  bool isOpen = false;
  for (std::string_view rest = page; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    if (rest.starts_with(kToggle)) isOpen = !isOpen;
  }
  return isOpen ? page.append(kToggle).append("\n") : page;
}

std::string readHeader(const SiteRoot& root, const std::string& path) {
  const auto file = root.open(path, Waiting::kAllowed);
  if (!file || file->isFolder()) return {};
  if (file->size() > kMaxHeaderBytes) {
    spdlog::warn("{} is left out of its listing: {} bytes, at most {} are taken", logQuote(path),
                 file->size(), kMaxHeaderBytes);
    return {};
  }
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  const ssize_t got = ::pread(file->fd.get(), text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (isPrivateKey(text)) return {};  // the file may have changed since it was examined
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  return withClosedText(
      withUnixLineEnds(std::string_view(text).substr(text.starts_with(kBom) ? 3 : 0)));
}

std::string describeSize(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  constexpr std::array<std::string_view, 6> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double size = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; size >= 1023.95 && unit + 1 < kUnits.size(); ++unit) size /= 1024;
  return fmt::format("{:.1f} {}", size, kUnits[unit]);
}

std::string describeDate(std::time_t time) {
  std::tm utc{};
  std::array<char, 32> text{};
  if (::gmtime_r(&time, &utc) == nullptr) return {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d", &utc)};
}

void appendEntry(std::string& page, const Entry& entry) {
  const std::string_view slash = entry.isFolder() ? "/" : "";
  page += fmt::format("=> ./{}{} {}{}", percentEncodeSegment(entry.name), slash,
                      pageLabel(entry.name), slash);
  if (!entry.isFolder()) {
    page.append("  ").append(describeSize(static_cast<std::uint64_t>(entry.status.st_size)));
  }
  page.append("  ").append(describeDate(entry.status.st_mtime)).append("\n");
}

}  // namespace

std::string pageLabel(std::string_view name) {
  return isPrintable(name) ? printable(name) : std::string();
}

Result<std::string> directoryPage(const SiteRoot& root, const DirectoryPageRequest& request) {
  const std::string prefix = request.folder.empty() ? "" : request.folder + "/";
  auto stream = openStream(root, request.folder);
  if (!stream) return std::move(stream).error();
  auto names = readNames(stream->get(), request);
  if (!names) return std::move(names).error();
  auto entries = entriesOf(root, prefix, ::dirfd(stream->get()), std::move(names->first));
  if (!entries) return std::move(entries).error();

  std::string page = readHeader(root, prefix + std::string(kHeaderName));
  if (!page.starts_with('#')) page = "# " + pageLabel(request.title) + "\n\n" + page;
  page.append(page.ends_with("\n\n") ? "" : "\n");
  if (request.hasParent) page.append("=> ../ ../\n");
  for (const Entry& entry : *entries) appendEntry(page, entry);
  return page + noteOn(*names, request);
}

}  // namespace egalaxyd
