#include <re2/re2.h>
#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/path.h"
#include "common/wire/media_type.h"
#include "worker/file/sidecar.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostRegexBytes = 255;
/// Of one pattern: its program, and the states that it has been in.
constexpr std::int64_t kRegexMemory = 64 * 1024;
/// In one line.
constexpr std::ptrdiff_t kMostDots = 200;

struct Override {
  std::unique_ptr<const RE2> pattern;
  std::string type;
};

class MollyNotes final : public SidecarNotes {
 public:
  std::optional<std::string> lang;
  std::optional<std::string> charset;
  std::string extension;  ///< with its dot; "": not named
  std::vector<Override> overrides;

  bool tell(std::string_view path, FileNote& note) const override {
    if (!note.lang) note.lang = lang;
    if (!note.charset) note.charset = charset;
    if (note.type.empty()) note.type = typeOf(path);
    return false;
  }

 private:
  std::string typeOf(std::string_view path) const {
    const std::string whole = "/" + std::string(path);
    for (const Override& each : overrides) {
      if (RE2::PartialMatch(whole, *each.pattern)) return each.type;
    }
    return !extension.empty() && path.ends_with(extension) ? "text/gemini" : "";
  }
};

class MollyReader {
 public:
  explicit MollyReader(const toml::table& table) : table_(table) {}

  ParsedSidecar read() {
    auto notes = std::make_unique<MollyNotes>();
    notes->lang = text("DefaultLang", "-,");
    notes->charset = text("DefaultEncoding", "-_.:+");
    const auto extension = text("GeminiExt", "-_.");
    if (extension && !extension->empty()) notes->extension = "." + *extension;
    readOverrides(*notes);
    parsed_.notes = std::move(notes);
    return std::move(parsed_);
  }

 private:
  void complain(const toml::node& node, std::string text) {
    parsed_.faults.push_back({node.source().begin.line, std::move(text)});
  }

  /// A text of letters, digits and `others`, which META may carry.
  std::optional<std::string> text(std::string_view key, std::string_view others) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    const auto isLegal = [others](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             others.find(c) != std::string_view::npos;
    };
    const auto* value = node->as_string();
    if (value != nullptr && value->get().size() <= kMostRegexBytes &&
        std::ranges::all_of(value->get(), isLegal)) {
      return value->get();
    }
    complain(*node, fmt::format("{}: expected letters, digits and {}", key, others));
    return std::nullopt;
  }

  void readOverrides(MollyNotes& notes) {
    const toml::node* node = table_.get("MimeOverrides");
    if (node == nullptr) return;
    if (!node->is_table()) return complain(*node, "MimeOverrides: expected a table");
    for (const auto& [key, value] : *node->as_table()) {
      if (notes.overrides.size() == kMostSidecarPatterns) {
        return complain(value, fmt::format("more than {} patterns", kMostSidecarPatterns));
      }
      const std::string name = printable(key.str().substr(0, 100));
      const auto* type = value.as_string();
      if (type == nullptr || !isMediaType(type->get())) {
        complain(value, fmt::format("\"{}\": expected a media type", name));
        continue;
      }
      RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(kRegexMemory);
      const bool isLong = key.str().size() > kMostRegexBytes;
      auto pattern = std::make_unique<const RE2>(isLong ? "(" : std::string(key.str()), options);
      if (isLong || !pattern->ok()) {
        complain(value,
                 fmt::format("\"{}\": {}", name,
                             isLong ? "the pattern is too long" : printable(pattern->error())));
        continue;
      }
      notes.overrides.push_back({std::move(pattern), type->get()});
    }
  }

  const toml::table& table_;
  ParsedSidecar parsed_;
};

/// Each dot of a key may be a table within the one before, which are destroyed one within the
/// other.
bool isTooDeep(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t begin = std::min(line.find_first_not_of(" \t"), line.size());
    const bool isComment = line.substr(begin).starts_with('#');
    if (!isComment && std::ranges::count(line, '.') > kMostDots) return true;
  }
  return false;
}

}  // namespace

ParsedSidecar parseMollySidecar(std::string_view text) {
  if (isTooDeep(text)) {
    return {std::make_unique<MollyNotes>(), {{0, "too many dots in one line"}}};
  }
  try {
    return MollyReader(toml::parse(text)).read();
  } catch (const toml::parse_error& e) {
    return {std::make_unique<MollyNotes>(), {{e.source().begin.line, printable(e.description())}}};
  }
}

}  // namespace egalaxyd
