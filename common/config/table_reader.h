// One table of the file into the values that the schema describes.
#pragma once

#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/config/config_reading.h"
#include "common/config/config_schema.h"
#include "common/config/value_complaints.h"

namespace egalaxyd {

/// The visitor that fills values from one table of the file.
class TableReader {
 public:
  /// `name`: the table's dotted key, "" for the whole file.
  /// `depth`: how many levels of paths lead to it.
  TableReader(Reading& reading, const toml::table& table, std::string name, std::size_t depth = 1)
      : reading_(reading), table_(table), name_(std::move(name)), depth_(depth) {}

  template <class T>
  void key(std::string_view key, T& value, const Form<T>& form) {
    const toml::node* node = find(key);
    if (!node) return;
    if (auto read = scalar(*node, placeOf(key), dotted(key), form)) value = std::move(*read);
  }

  template <class T>
  void list(std::string_view key, std::vector<T>& values, const Form<T>& form) {
    const toml::node* node = find(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array)
      return complain(key, wrongType("an array", *node, "") + asArray(*node, values, form));
    values.clear();
    for (const toml::node& element : *array) addTo(values, element, dotted(key), form);
  }

  void named(std::string_view key, std::vector<TokenDigest>& values, const Form<TokenDigest>& form);
  void people(std::string_view key, People& people);

  void map(std::string_view key, std::map<std::string, std::string>& values,
           Secrecy = Secrecy::kPublic) {
    const toml::table* table = subTable(key);
    if (!table) return;
    values.clear();
    TableReader reader(reading_, *table, dotted(key));
    for (const auto& [name, node] : reading_.inFileOrder(*table)) {
      reader.key(name->str(), values[std::string(name->str())], forms::text());
    }
  }

  template <class T>
  void tables(std::string_view key, std::vector<T>& values) {
    const toml::node* node = find(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array) {
      constexpr auto hint = "; write [[{}]], in double brackets, and its keys below it";
      return complain(key,
                      wrongType("an array of tables", *node, "") + fmt::format(hint, dotted(key)));
    }
    std::size_t number = 0;
    for (const toml::node& element : *array) {
      const std::string name = fmt::format("{}[{}]", dotted(key), ++number);
      const KeyPlace place = reading_.placeOf(element.source());
      reading_.config.lines[name] = place;
      T& value = values.emplace_back();
      if (!element.is_table()) {
        reading_.complain(place, name, wrongType("a table", element, ""));
        continue;
      }
      TableReader reader(reading_, *element.as_table(), name);
      describe(reader, value);
      reader.complainOfUnknown();
    }
  }

  void rules(std::string_view key, std::vector<FileRule>& values) {
    const toml::table* table = subTable(key);
    if (!table) return;
    values.clear();
    TableReader reader(reading_, *table, dotted(key));
    for (const auto& [name, node] : reading_.inFileOrder(*table)) {
      FileRule& rule = values.emplace_back();
      rule.pattern = name->str();
      reader.section(name->str(), rule);
    }
  }

  template <class T>
  void section(std::string_view key, T& value) {
    const toml::table* table = subTable(key);
    if (!table) return;
    TableReader reader(reading_, *table, dotted(key));
    describe(reader, value);
    reader.complainOfUnknown();
  }

  template <class T>
  void section(std::string_view key, std::optional<T>& value) {
    if (table_.contains(key)) value.emplace();
    T unused;
    section(key, value ? *value : unused);
  }

  template <class T>
  void toggle(std::string_view key, std::optional<T>& value) {
    const toml::node* node = find(key);
    if (!node) return;
    if (node->is_table()) {
      value.emplace();
      return section(key, *value);
    }
    Form<bool> form = forms::flag();
    form.types += " or a table";
    const auto isOn = scalar(*node, placeOf(key), dotted(key), form);
    if (isOn) value = *isOn ? std::optional<T>(T()) : std::nullopt;
  }

  void sites(std::string_view key, std::vector<SiteConfig>& sites);

  void mounts(std::string_view key, std::vector<MountConfig>& mounts) {
    const toml::table* table = subTable(key);
    if (!table) return;
    TableReader reader(reading_, *table, dotted(key), depth_ + 1);
    if (reader.depth_ > kMaxMountDepth) {
      constexpr auto text = "nested too deeply; allowed: {} levels of paths";
      return complain(key, fmt::format(text, kMaxMountDepth));
    }
    mounts = reader.paths();
    reader.complainOfUnknown();
  }

  /// Call it when every known key was visited.
  void complainOfUnknown();

 private:
  void hosts(const std::string& name, const Entry& entry, bool isCut,
             std::vector<SiteConfig>& sites);
  /// `others`: keys of its table that are not the site's.
  SiteConfig site(const std::string& name, const Entry& entry,
                  const std::vector<std::string>& others);
  void complainOfDots(const std::string& host, const KeyPlace& place);
  bool checkName(std::string_view name, const toml::node& node);
  void person(std::string_view name, const toml::node& node, People& people);
  std::vector<std::string> fingerprintsBehind(std::string_view person, const KeyPlace& place,
                                              const std::string& full);
  void siteMounts(SiteConfig& site);
  std::vector<MountConfig> paths();
  MountConfig mount(std::string_view key, const std::vector<MountConfig>& earlier);
  void readModule(MountConfig& mount);
  void complainOfUnknownKey(std::string_view key, const std::vector<std::string>& known);
  void complainOfUnknownTable(std::string_view key);
  void complainWithoutModule(std::string_view allowed);

  std::string dotted(std::string_view key) const {
    return name_.empty() ? tomlKey(key) : name_ + "." + tomlKey(key);
  }
  /// Of a key that is there.
  KeyPlace placeOf(std::string_view key) const { return reading_.placeOf(table_.find(key)->first); }
  void complain(std::string_view key, std::string text) {
    reading_.complain(placeOf(key), dotted(key), std::move(text));
  }
  /// The value of a known key, if the file has it.
  const toml::node* find(std::string_view key);
  const toml::table* subTable(std::string_view key);
  /// nullptr: it is none, which has been complained of.
  const toml::table* tableOf(const toml::node& node, const KeyPlace& place,
                             const std::string& full);

  template <class T>
  std::optional<T> scalar(const toml::node& node, const KeyPlace& place, const std::string& full,
                          const Form<T>& form) {
    const auto value = scalarOf(node);
    if (!value || form.types.find(typeName(*value)) == std::string::npos) {
      reading_.complain(place, full,
                        wrongType(form.types, node, form.allowed) + writtenOtherwise(node, form));
      return std::nullopt;
    }
    auto read = form.read(*value);
    if (!read) {
      const std::string found = form.secretIfWrong ? "something else" : tomlText(*value);
      reading_.complain(place, full,
                        fmt::format("found {}; allowed: {}{}{}", found, form.allowed,
                                    perhaps(*value, form.names), writtenOtherwise(node, form)));
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      read = reading_.resolve(*read, full, place);
    }
    return read;
  }

  template <class T>
  void addTo(std::vector<T>& values, const toml::node& element, const std::string& full,
             const Form<T>& form) {
    const KeyPlace place = reading_.placeOf(element.source());
    auto read = scalar(element, place, full, form);
    if (read) values.push_back(std::move(*read));
  }
  void addTo(std::vector<std::string>& values, const toml::node& element, const std::string& full,
             Form<std::string> form);

  Reading& reading_;
  const toml::table& table_;
  std::string name_;
  std::size_t depth_;
  std::vector<std::string> known_;  ///< keys that were visited
  bool hasPaths_ = false;           ///< keys that begin with '/' are known too
};

}  // namespace egalaxyd
