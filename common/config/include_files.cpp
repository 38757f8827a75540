#include "common/config/include_files.h"

#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>

#include "common/base/errno_error.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWildcards = "*?[";

bool isWild(std::string_view text) { return text.find_first_of(kWildcards) != text.npos; }

/// A pattern that names `text` and nothing else.
std::string literally(const std::string& text) {
  std::string pattern;
  for (const char c : text) {
    const bool isSpecial = kWildcards.find(c) != kWildcards.npos;
    pattern += isSpecial ? std::string{'[', c, ']'} : std::string{c};
  }
  return pattern;
}

/// What glob(3) could not read; its callback knows no context.
int globErrno = 0;  // NOLINT

int noteGlobError(const char*, int code) {
  if (code == ENOENT || code == ENOTDIR) return 0;
  globErrno = code;
  return 1;
}

struct GlobResult {
  glob_t value{};
  GlobResult() = default;
  ~GlobResult() { ::globfree(&value); }
  GlobResult(const GlobResult&) = delete;
  GlobResult& operator=(const GlobResult&) = delete;
};

bool matches(const std::string& pattern, const std::string& path) {
  return ::fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_NOESCAPE) == 0;
}

}  // namespace

IncludePattern splitPattern(const fs::path& folder, const fs::path& pattern) {
  IncludePattern result;
  result.folder = pattern.is_absolute() ? pattern.root_path() : folder;
  // Wildcards in the name of `folder` itself are none.
  const fs::path parts = pattern.lexically_normal().relative_path();
  for (auto part = parts.begin(); part != parts.end(); ++part) {
    const bool isLast = std::next(part) == parts.end();
    if (result.names.empty() && !isLast && !isWild(part->string())) {
      result.folder /= *part;
    } else {
      result.names += (result.names.empty() ? "" : "/") + part->string();
    }
  }
  result.folder = result.folder.lexically_normal();
  return result;
}

bool hasWildcard(const IncludePattern& pattern) { return isWild(pattern.names); }

Result<std::vector<fs::path>> filesOf(const IncludePattern& pattern) {
  if (!hasWildcard(pattern)) return std::vector<fs::path>{pattern.folder / pattern.names};
  const fs::path whole = fs::path(literally(pattern.folder.string())) / pattern.names;
  GlobResult found;
  globErrno = 0;
  const int code = ::glob(whole.c_str(), GLOB_NOSORT | GLOB_NOESCAPE, noteGlobError, &found.value);
  if (code == GLOB_NOSPACE) return errnoError("cannot be listed", ENOMEM);
  if (code == GLOB_ABORTED) return errnoError("cannot be listed", globErrno);
  std::vector<fs::path> files(found.value.gl_pathv, found.value.gl_pathv + found.value.gl_pathc);
  std::ranges::sort(files, {}, [](const fs::path& file) { return file.native(); });
  return files;
}

bool namesFileOrVersion(const IncludePattern& pattern, std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder(slash == path.npos ? "" : path.substr(0, slash + 1));
  std::string_view name = path.substr(folder.size());
  while (name.starts_with('.') || name.starts_with('#')) name.remove_prefix(1);
  for (std::size_t end = 1; end <= name.size(); ++end) {
    const bool mayEnd =
        end == name.size() || std::string_view(".-_~#").find(name[end]) != name.npos;
    if (mayEnd && matches(pattern.names, folder + std::string(name.substr(0, end)))) return true;
  }
  return false;
}

}  // namespace egalaxyd
