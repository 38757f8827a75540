#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/glob.h"
#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "worker/file/sidecar.h"
#include "worker/site/response.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostGlobBytes = 255;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

/// " ;lang=en ;charset=utf-8" as "; lang=en; charset=utf-8".
std::string tidyParameters(std::string_view text) {
  std::string tidy;
  while (!text.empty()) {
    text.remove_prefix(1);  // the semicolon
    const std::string_view one = text.substr(0, text.find(';'));
    text.remove_prefix(one.size());
    if (!trimmed(one).empty()) tidy.append("; ").append(trimmed(one));
  }
  return tidy;
}

bool isDigitAt(std::string_view text, std::size_t at) {
  return at < text.size() && text[at] >= '0' && text[at] <= '9';
}

/// `text`: "52 This file is no longer here". Returns "" or what is wrong.
std::string readHeaderLine(std::string_view text, FileNote& note) {
  const bool isWhole = isDigitAt(text, 1) && text.size() > 2 && (text[2] == ' ' || text[2] == '\t');
  if (!isWhole) return "begins like a status; write two digits, a space and a text";
  const int status = (text[0] - '0') * 10 + (text[1] - '0');
  const std::string_view meta = trimmed(text.substr(3));
  if (!isStatus(status)) return fmt::format("{} is no status of Gemini's", status);
  if (meta.size() > kMaxMetaBytes || !isPrintable(meta)) {
    return fmt::format("the text is longer than {} bytes or not printable", kMaxMetaBytes);
  }
  if (meta.empty() && status < 40) return fmt::format("status {} needs a text", status);
  if (status == 20 && !isMediaType(meta)) return "status 20 needs a media type";
  note.status = status;
  note.meta = meta;
  return {};
}

/// "" or what is wrong. What a line says replaces the mount's language, as agate has it.
std::string readMetadata(std::string_view text, FileNote& note) {
  note.lang = "";
  if (text.empty()) return {};
  if (text.front() >= '1' && text.front() <= '6') return readHeaderLine(text, note);
  const std::size_t end = std::min(text.find(';'), text.size());
  note.type = trimmed(text.substr(0, end));
  note.parameters = tidyParameters(text.substr(end));
  const std::string whole = (note.type.empty() ? "text/gemini" : note.type) + note.parameters;
  if (isMediaType(whole)) return {};
  return fmt::format("found \"{}\"; write a media type, \";lang=en\", or a status and a text",
                     printable(text.substr(0, 100)));
}

/// The pattern and what is behind the first colon, or the first '='.
std::optional<std::pair<std::string_view, std::string_view>> splitLine(std::string_view line) {
  const std::size_t mark = line.find_first_of(":=");
  if (mark == std::string_view::npos) return std::nullopt;
  return std::pair(trimmed(line.substr(0, mark)), trimmed(line.substr(mark + 1)));
}

bool hasHiddenPart(std::string_view path) {
  return path.starts_with('.') || path.find("/.") != std::string_view::npos;
}

class MetaNotes final : public SidecarNotes {
 public:
  /// Returns "" or what is wrong.
  std::string add(std::string_view line) {
    const auto parts = splitLine(line);
    if (!parts || parts->first.empty()) return "is no \"FILE: MEDIA TYPE\"";
    std::string_view pattern = parts->first;
    if (pattern.starts_with("./")) pattern.remove_prefix(2);
    FileNote note;
    if (std::string fault = readMetadata(parts->second, note); !fault.empty()) return fault;
    ++lines_;
    if (!isGlob(pattern)) {
      names_.insert_or_assign(std::string(pattern), Line{lines_, std::move(note)});
      return {};
    }
    if (pattern.size() > kMostGlobBytes) {
      return fmt::format("the pattern is longer than {} bytes", kMostGlobBytes);
    }
    if (globs_.size() == kMostSidecarPatterns) {
      return fmt::format("there are more than {} patterns", kMostSidecarPatterns);
    }
    globs_.push_back({std::string(pattern), {lines_, std::move(note)}});
    return {};
  }

  bool tell(std::string_view path, FileNote& note) const override {
    const Line* last = nullptr;
    if (const auto named = names_.find(path); named != names_.end()) last = &named->second;
    for (const auto& [pattern, line] : globs_) {
      if (last != nullptr && line.number < last->number) continue;
      // A '*' does not stand for the dot that hides a file.
      if (hasHiddenPart(path) && !hasHiddenPart(pattern)) continue;
      if (fitsGlob(pattern, path)) last = &line;
    }
    if (last == nullptr) return false;
    note = last->note;
    return true;
  }

 private:
  struct Line {
    std::size_t number;
    FileNote note;
  };
  struct Glob {
    std::string pattern;
    Line line;
  };
  std::size_t lines_ = 0;
  std::map<std::string, Line, std::less<>> names_;
  std::vector<Glob> globs_;
};

}  // namespace

ParsedSidecar parseMetaSidecar(std::string_view text) {
  auto notes = std::make_unique<MetaNotes>();
  ParsedSidecar parsed;
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  if (text.starts_with(kBom)) text.remove_prefix(kBom.size());
  bool isOurs = true;  // the section: agate reads [mime] and what stands before any
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (number > kMostSidecarLines) {
      parsed.faults.push_back({number, fmt::format("more than {} lines", kMostSidecarLines)});
      break;
    }
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const bool isSection = line.starts_with('[') && line.ends_with(']');
    if (isSection) isOurs = line == "[mime]";
    if (isSection || !isOurs) continue;
    std::string fault = notes->add(line);
    if (!fault.empty()) parsed.faults.push_back({number, std::move(fault)});
  }
  parsed.notes = std::move(notes);
  return parsed;
}

std::string_view sidecarName(Sidecar kind) {
  switch (kind) {
    case Sidecar::kMeta:
      return ".meta";
    case Sidecar::kMolly:
      return ".molly";
    case Sidecar::kNone:
      break;
  }
  return {};
}

}  // namespace egalaxyd
