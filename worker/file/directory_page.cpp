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
#include <span>
#include <utility>
#include <vector>

#include "common/base/errno_error.h"
#include "common/base/number.h"
#include "common/base/path.h"
#include "common/file/once_per_file.h"
#include "common/file/private_key.h"
#include "common/system/log.h"
#include "common/wire/media_type.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kHeaderName = "HEADER.gmi";

struct CloseDir {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

/// A name of the folder, with what its place among the others depends on.
struct Candidate {
  std::string name;
  unsigned char type = DT_UNKNOWN;  ///< as readdir(3) has it
  std::int64_t rank = 0;            ///< those with a higher one come first

  bool isFolder() const { return type == DT_DIR; }
  bool operator<(const Candidate& other) const { return name < other.name; }
};

struct Entry {
  std::string name;
  struct stat status;
  std::string title;  ///< of its content; "" where it has none

  bool isFolder() const { return S_ISDIR(status.st_mode); }
};

/// What a request for this entry would get; nullopt if it would be refused. It is opened, since
/// only that shows that it is neither a private key nor the server's own.
Result<std::optional<OpenFile>> openEntry(const SiteRoot& root, const std::string& path) {
  using Opened = std::optional<OpenFile>;
  auto target = root.open(path, Waiting::kAllowed);
  if (target) return Opened(std::move(*target));
  const bool forNow = target.error().code == ErrorCode::kNoSpace;  // such as descriptors
  return forNow ? Result<Opened>(std::move(target).error()) : Opened();
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
  std::vector<Candidate> first;  ///< the first of them by name; empty if there are too many
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
    if (full && (names.first.empty() || name >= names.first.front().name)) continue;
    if (full) {
      std::pop_heap(names.first.begin(), names.first.end());
      names.first.pop_back();
    }
    names.first.push_back({std::move(name), found->d_type});
    std::push_heap(names.first.begin(), names.first.end());
  }
  struct stat status {};
  if (::fstat(::dirfd(stream), &status) == 0) warnOfNames(request.folder, status, odd, example);
  if (names.all > request.maxRead) names.first.clear();
  return names;
}

std::int64_t rankOf(const struct stat& status, const ListingArgs& listing) {
  std::int64_t rank = 0;
  if (listing.sort == ListingSort::kTime) {
    rank = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  } else if (listing.sort == ListingSort::kSize && !S_ISDIR(status.st_mode)) {
    rank = status.st_size;
  }
  return listing.reverse ? -rank : rank;
}

/// Fills in what a candidate's place depends on; false: it cannot be served. A link has the place
/// of what it leads to.
Result<bool> placeCandidate(Candidate& candidate, const SiteRoot& root, const std::string& prefix,
                            int folder, const ListingArgs& listing) {
  const bool isKnown = candidate.type == DT_DIR || candidate.type == DT_REG;
  if (isKnown && listing.sort == ListingSort::kName) return true;
  struct stat status {};
  if (::fstatat(folder, candidate.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (S_ISLNK(status.st_mode)) {
    const auto target = openEntry(root, prefix + candidate.name);
    if (!target) return target.error();
    if (!*target) return false;
    status = (*target)->status;
  }
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) return false;
  candidate.type = S_ISDIR(status.st_mode) ? DT_DIR : DT_REG;
  candidate.rank = rankOf(status, listing);
  return true;
}

/// Folders before files.
void sortCandidates(std::vector<Candidate>& all, const ListingArgs& listing) {
  const bool isBackward = listing.reverse && listing.sort == ListingSort::kName;
  std::sort(all.begin(), all.end(), [isBackward](const Candidate& a, const Candidate& b) {
    if (a.isFolder() != b.isFolder()) return a.isFolder();
    if (a.rank != b.rank) return a.rank > b.rank;
    return isBackward ? b.name < a.name : a.name < b.name;
  });
}

Result<std::vector<Candidate>> sortedCandidates(const SiteRoot& root, const std::string& prefix,
                                                int folder, std::vector<Candidate> all,
                                                const ListingArgs& listing) {
  std::vector<Candidate> kept;
  kept.reserve(all.size());
  for (Candidate& candidate : all) {
    const auto isKept = placeCandidate(candidate, root, prefix, folder, listing);
    if (!isKept) return isKept.error();
    if (*isKept) kept.push_back(std::move(candidate));
  }
  sortCandidates(kept, listing);
  return kept;
}

/// A longer heading is none.
constexpr std::size_t kMaxTitleBytes = 300;

/// The first heading of a gemtext file that begins with `head`; "" where that has none.
std::string titleIn(std::string_view head, bool isWhole) {
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  if (head.starts_with(kBom)) head.remove_prefix(kBom.size());
  bool isPreformatted = false;
  while (!head.empty()) {
    const std::size_t end = head.find('\n');
    if (end == std::string_view::npos && !isWhole) return {};
    std::string_view line = head.substr(0, end);
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + 1);
    if (line.starts_with("```")) isPreformatted = !isPreformatted;
    if (isPreformatted || !line.starts_with('#')) continue;
    line.remove_prefix(std::min<std::size_t>(line.find_first_not_of('#'), line.size()));
    while (!line.empty() && std::string_view(" \t\r").find(line.front()) != line.npos) {
      line.remove_prefix(1);
    }
    while (!line.empty() && std::string_view(" \t\r").find(line.back()) != line.npos) {
      line.remove_suffix(1);
    }
    if (!line.empty()) return line.size() > kMaxTitleBytes ? std::string() : pageLabel(line);
  }
  return {};
}

/// The bytes with which the file begins, at most kTitleSearchBytes: those that were examined when
/// it was opened, if it was.
std::string titleOf(const OpenFile& file) {
  constexpr std::size_t kTitleSearchBytes = 4096;
  std::string head = file.head.substr(0, kTitleSearchBytes);
  if (head.empty() && file.size() > 0) {
    head.resize(kTitleSearchBytes);
    const ssize_t got = ::pread(file.fd.get(), head.data(), head.size(), 0);
    head.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
  return titleIn(head, head.size() >= file.size());
}

/// Those of the candidates that a request could fetch.
Result<std::vector<Entry>> entriesOf(const SiteRoot& root, const std::string& prefix,
                                     std::span<Candidate> candidates, bool hasTitles) {
  std::vector<Entry> entries;
  for (Candidate& candidate : candidates) {
    const auto opened = openEntry(root, prefix + candidate.name);
    if (!opened) return opened.error();
    if (!*opened) continue;
    const bool isGemtext = mediaTypeOf(candidate.name) == "text/gemini";
    std::string title;
    if (hasTitles && isGemtext && !(*opened)->isFolder()) title = titleOf(**opened);
    entries.push_back({std::move(candidate.name), (*opened)->status, std::move(title)});
  }
  return entries;
}

/// Which of the candidates a page has.
struct Pages {
  std::size_t all = 1;
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::optional<Pages> pagesOf(std::size_t entries, const DirectoryPageRequest& request) {
  const std::size_t length = std::max<std::size_t>(request.listing.page, 1);
  Pages pages;
  pages.all = std::max<std::size_t>((entries + length - 1) / length, 1);
  if (request.page == 0 || request.page > pages.all) return std::nullopt;
  pages.begin = (request.page - 1) * length;
  pages.end = std::min(pages.begin + length, entries);
  return pages;
}

std::string linksToPages(std::size_t page, std::size_t all) {
  if (all == 1) return {};
  std::string links = fmt::format("\nPage {} of {}\n", page, all);
  if (page < all) links += fmt::format("=> ./{} Next page\n", pageName(page + 1));
  if (page == 2) links += "=> ./ Previous page\n";
  if (page > 2)
    links += fmt::format("=> ./{} Previous page\n=> ./ First page\n", pageName(page - 1));
  return links;
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
                      entry.title.empty() ? pageLabel(entry.name) : entry.title, slash);
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
  auto sorted = sortedCandidates(root, prefix, ::dirfd(stream->get()), std::move(names->first),
                                 request.listing);
  if (!sorted) return std::move(sorted).error();
  const auto pages = pagesOf(sorted->size(), request);
  if (!pages) return Error{ErrorCode::kNotFound, "no such page"};
  const auto shown = std::span(*sorted).subspan(pages->begin, pages->end - pages->begin);
  auto entries = entriesOf(root, prefix, shown, request.listing.titles);
  if (!entries) return std::move(entries).error();

  std::string page = readHeader(root, prefix + std::string(kHeaderName));
  if (!page.starts_with('#')) page = "# " + pageLabel(request.title) + "\n\n" + page;
  page.append(page.ends_with("\n\n") ? "" : "\n");
  if (request.hasParent) page.append("=> ../ ../\n");
  for (const Entry& entry : *entries) appendEntry(page, entry);
  return page + noteOn(*names, request) + linksToPages(request.page, pages->all);
}

constexpr std::string_view kPagePrefix = ";page=";

std::string pageName(std::size_t page) { return fmt::format("{}{}", kPagePrefix, page); }

std::optional<std::size_t> pageNamed(std::string_view name) {
  if (!name.starts_with(kPagePrefix)) return std::nullopt;
  const auto number = parseNumber(name.substr(kPagePrefix.size()), 1, kMaxListedEntries);
  return number ? std::optional(static_cast<std::size_t>(*number)) : std::nullopt;
}

}  // namespace egalaxyd
