// What a file beside pages says of them: agate's ".meta", molly-brown's ".molly". Parsers, pure:
// what they read was written by whoever may write there, and is believed in nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// A longer sidecar counts for nothing.
inline constexpr std::size_t kMaxSidecarBytes = 64 * 1024;
/// Lines, or keys of a table, and patterns among them; what is beyond counts for nothing.
inline constexpr std::size_t kMostSidecarLines = 2000;
inline constexpr std::size_t kMostSidecarPatterns = 64;

/// What sidecars say of one file.
struct FileNote {
  int status = 0;         ///< not 0: the answer's, with `meta`, whether there is a file or not
  std::string meta = {};  ///< printable, and fit for the status
  std::string type = {};  ///< a media type; "": as without a sidecar
  std::string parameters = {};           ///< "; name=value" of the media type
  std::optional<std::string> lang = {};  ///< instead of the mount's
  std::optional<std::string> charset = {};
};

/// Immutable; any thread.
class SidecarNotes {
 public:
  virtual ~SidecarNotes() = default;
  /// Adds to `note` what it says of the file at `path`, below the sidecar's folder, and what the
  /// sidecars of folders below have not said. Returns whether nothing is left to be said.
  virtual bool tell(std::string_view path, FileNote& note) const = 0;
};

struct SidecarFault {
  std::size_t line;  ///< 1-based; 0: all of it
  std::string text;
};

/// What was read, and what of it is wrong and counts for nothing.
struct ParsedSidecar {
  std::unique_ptr<const SidecarNotes> notes;
  std::vector<SidecarFault> faults = {};
};

/// Lines "PATTERN: METADATA"; the last that fits a file counts. METADATA is "" (no language), ";
/// a=b" (parameters), "52 Text" (a header) or a media type.
ParsedSidecar parseMetaSidecar(std::string_view text);
/// TOML with GeminiExt, DefaultLang, DefaultEncoding and MimeOverrides, whose keys are patterns of
/// RE2 for the path with a slash before it; those of folders below come first.
ParsedSidecar parseMollySidecar(std::string_view text);

/// ".meta", ".molly"; "" for none.
std::string_view sidecarName(Sidecar kind);

}  // namespace egalaxyd
