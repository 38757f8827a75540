// What one reading of the configuration gathers: the values, the complaints, the files.
#pragma once

#include <toml++/toml.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

using Entry = std::pair<const toml::key*, const toml::node*>;

/// One file of the configuration.
struct SourceFile {
  std::filesystem::path name;           ///< as complaints name it
  std::filesystem::path folder;         ///< where its relative paths begin
  std::vector<std::string> lines = {};  ///< as they were read
};

/// What the readers of one configuration share: the result, the complaints and the files.
struct Reading {
  Config config;
  std::vector<std::pair<KeyPlace, Complaint>> complaints;
  std::vector<SourceFile> files;  ///< by KeyPlace::file
  /// The number of each file, by the name under which the parser knows it.
  std::map<const std::string*, std::size_t> numbers;
  /// Those whose values were guessed. That such a guess is not allowed says it all.
  std::set<KeyPlace> guessed;

  explicit Reading(const std::filesystem::path& file);
  /// One more file; what is read after that is its.
  void add(const std::filesystem::path& file);

  KeyPlace placeOf(const toml::source_region& source) const;
  KeyPlace placeOf(const toml::key& key) const;
  /// A table's entries in the order of the files.
  std::vector<Entry> inFileOrder(const toml::table& table) const;

  /// `key`: dotted. `mayPass`: it may be gone at the next try.
  void complain(const KeyPlace& place, const std::string& key, std::string text,
                bool mayPass = false);
  /// Against the folder of the file that names it; complains of a home folder that is not known.
  std::optional<std::filesystem::path> resolve(const std::filesystem::path& named,
                                               const std::string& key, const KeyPlace& place);
  /// The same for a path in a text.
  void resolve(std::string& text, const std::string& key);
};

/// In the order of the files, each once: a site's `root` and `lang` are read for two.
/// Of a line that was guessed only the last is left.
Complaints inOrder(std::vector<std::pair<KeyPlace, Complaint>> complaints,
                   const std::set<KeyPlace>& guessed);

}  // namespace egalaxyd
