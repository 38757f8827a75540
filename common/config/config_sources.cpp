#include "common/config/config_sources.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/base/regular_file.h"
#include "common/config/home_folder.h"
#include "common/config/include_files.h"
#include "common/config/syntax_fault.h"
#include "common/config/table_reader.h"

namespace egalaxyd {
namespace {

using std::filesystem::path;

/// Faults of one file that are told at once.
constexpr int kMostSyntaxFaults = 20;

std::vector<std::string> linesOf(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  return lines;
}

/// Complains of what is no TOML and reads on with what was meant, as far as that can be told.
/// nullopt: it cannot. `text` is that of the last file.
std::optional<toml::table> parseToml(std::string_view text, Reading& reading) {
  const std::size_t number = reading.files.size() - 1;
  if (const auto fault = encodingFault(text)) {
    reading.complain({number, fault->line}, fault->key, fault->text);
    return std::nullopt;
  }
  std::vector<std::string>& lines = reading.files[number].lines;
  lines = linesOf(text);
  std::string mended;
  std::size_t last = 0;
  for (int faults = 0; faults < kMostSyntaxFaults; ++faults) {
    try {
      auto table = toml::parse(text, std::string_view("configuration"));
      reading.numbers[table.source().path.get()] = number;
      return table;
    } catch (const toml::parse_error& e) {
      const auto fault = syntaxFault(lines, e.source().begin.line, e.description());
      if (fault.line <= last) return std::nullopt;  // the guess was wrong
      last = fault.line;
      reading.complain({number, fault.line}, fault.key, fault.text);
      if (!fault.instead) return std::nullopt;
      if (!isHeader(lines.at(fault.line - 1))) reading.guessed.insert({number, fault.line});
      for (std::size_t i = 0; i < fault.lines; ++i) lines.at(fault.line - 1 + i).clear();
      lines[fault.line - 1] = *fault.instead;
    }
    mended.clear();
    for (const std::string& line : lines) mended.append(line) += '\n';
    text = mended;
  }
  return std::nullopt;
}

/// Moves into `into`, the table `name`, what `from` has; complains of what both have.
void merge(toml::table& into, toml::table& from, const std::string& name, Reading& reading) {
  const auto isOpen = [](const toml::node& node) {
    return node.is_table() && !node.as_table()->is_inline();
  };
  for (auto&& [key, node] : from) {
    const auto present = into.find(key.str());
    const std::string full = (name.empty() ? "" : name + ".") + tomlKey(key.str());
    if (present == into.end()) {
      const toml::key& moved = key;
      node.visit([&](auto& value) { into.insert(moved, std::move(value)); });
    } else if (isOpen(present->second) && isOpen(node)) {
      merge(*present->second.as_table(), *node.as_table(), full, reading);
    } else {
      const std::string other = reading.config.where(reading.placeOf(present->first));
      reading.complain(reading.placeOf(key), full, "is set twice; it stands in " + other + " too");
    }
  }
}

/// Reads the files that `include` names into the table of the whole configuration.
class Includer {
 public:
  Includer(Reading& reading, toml::table& whole, std::size_t bytesLeft)
      : reading_(reading), whole_(whole), bytesLeft_(bytesLeft) {}

  void run() {
    if (!whole_.contains(kInclude)) return;
    std::vector<std::string> patterns;
    {
      TableReader reader(reading_, whole_, "");
      reader.list(kInclude, patterns, forms::text());
    }
    place_ = reading_.config.lines[std::string(kInclude)];
    whole_.erase(kInclude);
    noteIfNew(reading_.config.file);
    for (const std::string& pattern : patterns) take(pattern);
  }

 private:
  /// `path`: what it is about, a file or a pattern.
  void complain(const std::string& path, const Error& error) {
    reading_.complain(place_, std::string(kInclude), fmt::format("{}: {}", path, error.message),
                      mayPass(error.code));
    // What the files say is not known: that it is missing is no second fault.
    reading_.config.faulty.insert("sites");
  }
  void complain(const std::string& path, std::string text) {
    complain(path, Error{ErrorCode::kInvalid, std::move(text)});
  }

  void take(const std::string& text) {
    if (text.empty() || text.ends_with('/') || text.find('\0') != std::string::npos) {
      return complain(tomlText(text), R"(allowed: files, such as "sites.d/*.toml")");
    }
    const auto named = withHomeFolder(text);
    if (!named) return complain(text, named.error());
    const IncludePattern pattern = splitPattern(reading_.config.file.parent_path(), *named);
    reading_.config.includePatterns.push_back(pattern);
    const auto files = filesOf(pattern);
    if (!files) return complain(text, files.error());
    for (const path& file : *files) {
      if (reading_.config.included.size() == kMostIncluded) {
        return complain(text, fmt::format("more files than the {} that may be included; write "
                                          "several sites into one",
                                          kMostIncluded));
      }
      read(file, hasWildcard(pattern));
    }
  }

  /// A file that has been read is left out. `isWild`: nobody named it.
  void read(const path& file, bool isWild) {
    if (!noteIfNew(file)) {
      if (!isWild && file == reading_.config.file) {
        complain(file.string(), "includes itself; leave it out");
      }
      return;
    }
    const auto text = readRegularFile(file, bytesLeft_);
    if (!text) return complain(file.string(), text.error());
    bytesLeft_ -= text->size();
    reading_.config.included.push_back(file);
    reading_.add(file);
    auto table = parseToml(*text, reading_);
    if (!table) {
      reading_.config.faulty.insert("sites");
      return;
    }
    if (const auto nested = table->find(kInclude); nested != table->end()) {
      reading_.complain(
          reading_.placeOf(nested->first), std::string(kInclude),
          "an included file includes no others; write it into " + reading_.config.file.string());
      reading_.config.faulty.insert("sites");
      table->erase(nested);
    }
    merge(whole_, *table, "", reading_);
  }

  /// Whether no name of this file has been noted before.
  bool noteIfNew(const path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) return true;  // reading it says why
    return seen_.emplace(status.st_dev, status.st_ino).second;
  }

  Reading& reading_;
  toml::table& whole_;
  std::size_t bytesLeft_;  ///< that all of them together may have
  KeyPlace place_;         ///< of `include`
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

std::optional<toml::table> readSources(std::string_view text, Reading& reading) {
  auto whole = parseToml(text, reading);
  if (whole)
    Includer(reading, *whole, kMaxConfigBytes - std::min(text.size(), kMaxConfigBytes)).run();
  return whole;
}

}  // namespace egalaxyd
