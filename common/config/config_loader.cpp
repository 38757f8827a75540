#include "common/config/config_loader.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "common/base/number.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/base/spelling.h"
#include "common/config/config_schema.h"
#include "common/config/home_folder.h"
#include "common/config/include_files.h"
#include "common/config/log_places.h"
#include "common/config/people.h"
#include "common/config/syntax_fault.h"

namespace egalaxyd {
namespace {

using std::filesystem::path;

/// A hundred times what ten thousand sites take.
constexpr std::size_t kMaxConfigBytes = 256 << 20;

constexpr std::string_view kInclude = "include";

std::string_view nodeType(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a float";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::optional<Scalar> scalarOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return Scalar(text->get());
  if (const auto* number = node.as_integer()) return Scalar(number->get());
  if (const auto* flag = node.as_boolean()) return Scalar(flag->get());
  return std::nullopt;
}

std::string quotedList(const std::vector<std::string>& names, std::string_view separator) {
  std::string out;
  for (const std::string& name : names) {
    out += fmt::format("{}\"{}\"", out.empty() ? "" : separator, name);
  }
  return out;
}

std::string wrongType(std::string_view expected, const toml::node& node, std::string_view allowed) {
  return fmt::format("expected {}, found {}{}{}", expected, nodeType(node),
                     allowed.empty() ? "" : "; allowed: ", allowed);
}

/// "unknown key; did you mean …", or what is known here.
std::string unknownName(std::string_view what, std::string_view name,
                        const std::vector<std::string>& known) {
  auto near = nearNames(name, known);
  if (near.empty()) return fmt::format("{}; allowed: {}", what, quotedList(known, ", "));
  near.resize(std::min<std::size_t>(near.size(), 2));
  return fmt::format("{}; did you mean {}?", what, quotedList(near, " or "));
}

/// "; did you mean …?", or nothing.
std::string perhaps(const Scalar& found, const std::vector<std::string>& names) {
  const auto* text = std::get_if<std::string>(&found);
  auto near = text ? nearNames(*text, names) : std::vector<std::string>();
  if (near.empty()) return {};
  near.resize(1);
  return fmt::format("; did you mean {}?", quotedList(near, ""));
}

/// The same value as another type: 4 for "4", "1.3" for 1.3, "30s" for 30, "x" for ["x"].
std::vector<Scalar> otherWritings(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    const auto only = array->size() == 1 ? scalarOf(array->front()) : std::nullopt;
    return only ? std::vector<Scalar>{*only} : std::vector<Scalar>{};
  }
  if (const auto* text = node.as_string()) {
    if (text->get() == "true" || text->get() == "false") return {text->get() == "true"};
    const auto number = parseNumber(text->get(), 0, INT64_MAX);
    return number ? std::vector<Scalar>{static_cast<std::int64_t>(*number)} : std::vector<Scalar>{};
  }
  if (const auto* number = node.as_integer()) {
    const std::string digits = std::to_string(number->get());
    return {digits, digits + "s", ":" + digits};
  }
  if (const auto* number = node.as_floating_point()) return {fmt::format("{}", number->get())};
  if (const auto* flag = node.as_boolean()) return {flag->get() ? "true" : "false"};
  return {};
}

/// "; write …" where the value would be right if it were written otherwise.
template <class T>
std::string writtenOtherwise(const toml::node& node, const Form<T>& form) {
  if (form.secret || form.secretIfWrong) return {};
  for (const Scalar& value : otherWritings(node)) {
    const bool fits = form.types.find(typeName(value)) != std::string::npos && form.read(value);
    if (fits) return "; write " + tomlText(value);
  }
  return {};
}

/// "; write …" for a list that is no array.
template <class T>
std::string asArray(const toml::node& node, const std::vector<T>& defaults, const Form<T>& form) {
  const auto value = scalarOf(node);
  const bool fits =
      value && form.types.find(typeName(*value)) != std::string::npos && form.read(*value);
  if (fits && !form.secret) return fmt::format("; write [{}]", tomlText(*value));
  if (!form.example.empty()) return fmt::format("; write for example [{}]", form.example);
  if (defaults.empty()) return {};
  return fmt::format("; write for example [{}]", tomlText(form.write(defaults.front())));
}

/// The visitor that learns the keys of a module.
struct KeyNames {
  std::vector<std::string> names;
  void key(std::string_view name, const auto&, const auto&) { names.emplace_back(name); }
  void list(std::string_view name, const auto&, const auto&) { names.emplace_back(name); }
  void named(std::string_view name, const auto&, const auto&) { names.emplace_back(name); }
  void map(std::string_view name, const auto&, Secrecy = Secrecy::kPublic) {
    names.emplace_back(name);
  }
  void tables(std::string_view name, const auto&) { names.emplace_back(name); }
  void rules(std::string_view name, const auto&) { names.emplace_back(name); }
  void section(std::string_view name, const auto&) { names.emplace_back(name); }
  void toggle(std::string_view name, const auto&) { names.emplace_back(name); }
  void mounts(std::string_view name, const auto&) { names.emplace_back(name); }
};

/// Of all modules.
const std::vector<std::string>& moduleKeys() {
  static const std::vector<std::string> keys = [] {
    KeyNames all{{"module"}};
    for (const std::string_view name : kModuleNames) {
      ModuleArgs args = *moduleArgs(name);
      std::visit([&](auto& values) { describe(all, values); }, args);
    }
    const std::set<std::string> each(all.names.begin(), all.names.end());
    return std::vector<std::string>(each.begin(), each.end());
  }();
  return keys;
}

bool isModuleKey(std::string_view key) {
  return std::ranges::find(moduleKeys(), key) != moduleKeys().end();
}

/// A site's own keys.
const std::vector<std::string>& siteKeys() {
  static const std::vector<std::string> keys = [] {
    KeyNames all;
    SiteConfig site;
    describe(all, site);
    return all.names;
  }();
  return keys;
}

bool isSiteKey(std::string_view key) {
  return std::ranges::find(siteKeys(), key) != siteKeys().end();
}

/// The visitor that finds the sections with a key.
struct Sections {
  std::string_view wanted;
  std::vector<std::string> found = {};

  void section(std::string_view name, auto& values) {
    KeyNames keys;
    describe(keys, values);
    if (std::ranges::find(keys.names, wanted) != keys.names.end()) {
      found.push_back(fmt::format("[{}]", name));
    }
  }
  void people(std::string_view, const auto&) {}
  void sites(std::string_view, const auto&) {
    if (isSiteKey(wanted)) {
      found.emplace_back(R"([sites."HOST"])");
    } else if (isModuleKey(wanted)) {
      found.emplace_back(R"([sites."HOST"."/"])");
    }
    KeyNames keys;
    UploadArgs upload;
    describe(keys, upload);
    if (std::ranges::find(keys.names, wanted) != keys.names.end()) {
      found.emplace_back(R"([sites."HOST"."/".upload])");
    }
  }
};

/// "[server]": where this key belongs; "" when that is not known.
std::string homeOf(std::string_view key) {
  Config config;
  Sections sections{key};
  describe(sections, config);
  return fmt::format("{}", fmt::join(sections.found, " or "));
}

using Entry = std::pair<const toml::key*, const toml::node*>;

/// One file of the configuration.
struct SourceFile {
  path name;                            ///< as complaints name it
  path folder;                          ///< where its relative paths begin
  std::vector<std::string> lines = {};  ///< as they were read
};

/// "@ann" of each who has a name.
std::vector<std::string> peopleIn(const Config& config) {
  auto names = namesOf(config.people);
  for (std::string& name : names) name.insert(0, 1, '@');
  return names;
}

/// What the readers of one configuration share: the result, the complaints and the files.
struct Reading {
  Config config;
  std::vector<std::pair<KeyPlace, Complaint>> complaints;
  std::vector<SourceFile> files;  ///< by KeyPlace::file
  /// The number of each file, by the name under which the parser knows it.
  std::map<const std::string*, std::size_t> numbers;
  /// Those whose values were guessed. That such a guess is not allowed says it all.
  std::set<KeyPlace> guessed;

  explicit Reading(const path& file) {
    config.file = file;
    add(file);
  }
  void add(const path& file) {
    std::error_code error;
    files.push_back({file, std::filesystem::absolute(file, error).parent_path()});
  }

  KeyPlace placeOf(const toml::source_region& source) const {
    const auto number = numbers.find(source.path.get());
    return {number == numbers.end() ? 0 : number->second, source.begin.line};
  }
  KeyPlace placeOf(const toml::key& key) const { return placeOf(key.source()); }

  /// A table's entries in the order of the files.
  std::vector<Entry> inFileOrder(const toml::table& table) const {
    std::vector<Entry> entries;
    for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
    std::ranges::stable_sort(entries, [this](const Entry& a, const Entry& b) {
      return std::pair(placeOf(*a.first), a.first->source().begin.column) <
             std::pair(placeOf(*b.first), b.first->source().begin.column);
    });
    return entries;
  }

  void complain(const KeyPlace& place, const std::string& key, std::string text,
                bool mayPass = false) {
    std::string where = config.where(place);
    if (!key.empty()) where += ": " + key;
    complaints.push_back({place, {std::move(where), std::move(text), mayPass}});
    config.faulty.insert(key);
  }
  /// Against the folder of the file that names it; complains of a home folder that is not known.
  std::optional<path> resolve(const path& named, const std::string& key, const KeyPlace& place) {
    if (named.empty()) return named;
    auto whole = withHomeFolder(named);
    if (whole) return (files.at(place.file).folder / *whole).lexically_normal();
    complain(place, key, whole.error().message);
    return std::nullopt;
  }
  /// The same for a path in a text.
  void resolve(std::string& text, const std::string& key) {
    if (const auto whole = resolve(path(text), key, config.lines[key])) text = whole->string();
  }
};

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
    } else if constexpr (std::is_same_v<T, path>) {
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

const toml::node* TableReader::find(std::string_view key) {
  known_.emplace_back(key);
  const auto entry = table_.find(key);
  if (entry == table_.end()) return nullptr;
  reading_.config.lines[dotted(key)] = placeOf(key);
  return &entry->second;
}

void TableReader::addTo(std::vector<std::string>& values, const toml::node& element,
                        const std::string& full, Form<std::string> form) {
  const KeyPlace place = reading_.placeOf(element.source());
  if (form.mayBePerson) form.names = peopleIn(reading_.config);
  auto read = scalar(element, place, full, form);
  if (!read) return;
  if (!form.mayBePerson || !read->starts_with('@')) return values.push_back(std::move(*read));
  for (std::string& each : fingerprintsBehind(*read, place, full))
    values.push_back(std::move(each));
}

/// Of "@ann"; empty, and complained of, where nobody has that name.
std::vector<std::string> TableReader::fingerprintsBehind(std::string_view person,
                                                         const KeyPlace& place,
                                                         const std::string& full) {
  const std::string_view name = person.substr(1);
  const auto& faulty = reading_.config.faulty;
  auto found = fingerprintsOf(reading_.config.people, name);
  const bool isFaulty = faulty.contains("people") || faulty.contains("people." + tomlKey(name));
  if (!found.empty() || isFaulty) return found;
  const auto known = peopleIn(reading_.config);
  const std::string nobody = fmt::format(R"(nobody in [people] is "{}")", name);
  reading_.complain(
      place, full,
      known.empty() ? fmt::format(R"({}; write below it {} = "SHA256:…")", nobody, tomlKey(name))
                    : unknownName(nobody, person, known));
  return {};
}

/// Whether `name` may be one that the operator gives; complains if not.
bool TableReader::checkName(std::string_view name, const toml::node& node) {
  if (!isName(name)) {
    complain(name, fmt::format("cannot be a name; allowed: {}", kNameRule));
    return false;
  }
  if (!node.is_table()) return true;
  complain(name, R"(found a table; a name with dots stands in quotes, as "a.b" does)");
  return false;
}

void TableReader::people(std::string_view key, People& people) {
  const toml::table* table = subTable(key);
  if (!table) return;
  TableReader reader(reading_, *table, dotted(key));
  for (const auto& [name, node] : reading_.inFileOrder(*table))
    reader.person(name->str(), *node, people);
}

void TableReader::person(std::string_view name, const toml::node& node, People& people) {
  if (!checkName(name, node)) return;
  std::vector<std::string> fingerprints;
  if (node.is_array()) {
    list(name, fingerprints, forms::fingerprint());
  } else {
    key(name, fingerprints.emplace_back(), forms::fingerprint());
  }
  if (reading_.config.faulty.contains(dotted(name))) return;
  if (fingerprints.empty()) complain(name, "is empty; allowed: one fingerprint or more");
  for (const std::string& fingerprint : fingerprints) {
    const auto [known, isNew] = people.emplace(fingerprint, name);
    if (isNew || known->second == name) continue;
    complain(name,
             fmt::format("has a certificate of \"{}\"; a certificate has one name", known->second));
  }
}

void TableReader::named(std::string_view key, std::vector<TokenDigest>& values,
                        const Form<TokenDigest>& form) {
  const auto entry = table_.find(key);
  if (entry == table_.end() || !entry->second.is_table()) return list(key, values, form);
  const toml::table& table = *subTable(key);
  values.clear();
  TableReader reader(reading_, table, dotted(key));
  for (const auto& [name, node] : reading_.inFileOrder(table)) {
    TokenDigest token;
    if (!reader.checkName(name->str(), *node)) continue;
    reader.key(name->str(), token, form);
    if (token.hex.empty()) continue;
    token.name = name->str();
    const auto same = std::ranges::find(values, token.hex, &TokenDigest::hex);
    if (same == values.end()) {
      values.push_back(std::move(token));
    } else {
      reader.complain(name->str(),
                      fmt::format("has the token of \"{}\"; a token has one name", same->name));
    }
  }
  if (values.size() < table.size()) reading_.config.faulty.insert(dotted(key));
}

const toml::table* TableReader::subTable(std::string_view key) {
  const toml::node* node = find(key);
  return node ? tableOf(*node, placeOf(key), dotted(key)) : nullptr;
}

const toml::table* TableReader::tableOf(const toml::node& node, const KeyPlace& place,
                                        const std::string& full) {
  if (node.is_table()) return node.as_table();
  const bool doubled = node.is_array_of_tables();
  reading_.complain(place, full,
                    wrongType("a table", node, "") +
                        fmt::format("; write [{}]{}", full,
                                    doubled ? ", in single brackets" : " and its keys below it"));
  return nullptr;
}

void TableReader::complainOfUnknown() {
  const std::set<std::string, std::less<>> known(known_.begin(), known_.end());
  for (const auto& [key, node] : reading_.inFileOrder(table_)) {
    const bool isPath = hasPaths_ && key->str().starts_with('/');
    if (isPath || known.contains(key->str())) continue;
    const bool perhapsPath = hasPaths_ && node->is_table() && !isModuleKey(key->str());
    if (hasPaths_ && (perhapsPath || isModuleKey(key->str()))) {
      reading_.config.faulty.insert(dotted("root"));  // it would serve something
    }
    if (hasPaths_ && isModuleKey(key->str())) {
      complain(key->str(), fmt::format("belongs to a path; write it below [{}.\"/\"]", name_));
    } else if (name_.empty() && node->is_table()) {
      complainOfUnknownTable(key->str());
    } else if (perhapsPath) {
      const std::string path = tomlText("/" + std::string(key->str()));
      complain(key->str(),
               fmt::format("unknown key; a path begins with \"/\": write [{}.{}]", name_, path));
    } else {
      complainOfUnknownKey(key->str(), known_);
    }
  }
}

void TableReader::complainOfUnknownKey(std::string_view key,
                                       const std::vector<std::string>& known) {
  if (key == kInclude) {
    constexpr auto text = "belongs to the top of {}, above the first table";
    return complain(key, fmt::format(text, reading_.config.file.string()));
  }
  const auto near = nearNames(key, known);
  for (const std::string& name : near) reading_.config.faulty.insert(dotted(name));
  const bool isOfAnotherModule = name_.starts_with("sites") && isModuleKey(key) && !isSiteKey(key);
  const bool isOfAnotherUpload = name_.starts_with("sites") && name_.ends_with(".upload");
  const bool isLost = near.empty() && !isOfAnotherModule && !isOfAnotherUpload;
  const std::string home = isLost ? homeOf(key) : "";
  if (!home.empty()) return complain(key, fmt::format("unknown key here; it belongs to {}", home));
  complain(key, unknownName("unknown key", key, known));
}

/// At the top of the file: perhaps a host.
void TableReader::complainOfUnknownTable(std::string_view key) {
  const KeyPlace place = placeOf(key);
  const std::string_view line = reading_.files.at(place.file).lines.at(place.line - 1);
  const std::size_t end = line.rfind(']');
  const bool isHost = nearNames(key, known_).empty() && isHeader(line) && end != std::string::npos;
  if (!isHost) return complainOfUnknownKey(key, known_);
  reading_.config.faulty.insert("sites");
  const std::size_t begin = line.find('[') + 1;
  const std::string written = key.starts_with("sites.")
                                  ? std::string(key)
                                  : "sites." + std::string(line.substr(begin, end - begin));
  complain(key, fmt::format("unknown key; a host is written [{}]", quotedKey(written)));
}

void TableReader::sites(std::string_view key, std::vector<SiteConfig>& sites) {
  const toml::table* table = subTable(key);
  if (!table) return;
  TableReader reader(reading_, *table, dotted(key));
  for (const auto& entry : reading_.inFileOrder(*table)) {
    reader.hosts(std::string(entry.first->str()), entry, false, sites);
  }
}

/// Whether this within a host's table may be the rest of the host's name: "org" within "example",
/// in [sites.example.org].
bool continuesName(const Entry& entry) {
  const std::string_view name = entry.first->str();
  const toml::table* table = entry.second->as_table();
  return table != nullptr && !table->contains("module") && !name.starts_with('/') &&
         !isModuleKey(name) && !isSiteKey(name);
}

void TableReader::hosts(const std::string& name, const Entry& entry, bool isCut,
                        std::vector<SiteConfig>& sites) {
  const toml::table* table = entry.second->as_table();
  const auto entries = table ? reading_.inFileOrder(*table) : std::vector<Entry>();
  std::vector<std::string> rests;
  for (const Entry& inner : entries) {
    const bool mayBeCut = isCut || name.find('.') == std::string::npos;
    if (mayBeCut && continuesName(inner)) rests.emplace_back(inner.first->str());
  }
  if (rests.empty() || rests.size() < entries.size()) {
    if (isCut) complainOfDots(name, reading_.placeOf(*entry.first));
    sites.push_back(site(name, entry, rests));
  }
  for (const Entry& inner : entries) {
    const std::string key(inner.first->str());
    const bool isRest = std::ranges::find(rests, key) != rests.end();
    if (isRest) hosts(name + "." + key, inner, true, sites);
  }
}

void TableReader::complainOfDots(const std::string& host, const KeyPlace& place) {
  const std::string written = name_ + "." + host;
  const bool perhapsPath = std::ranges::count(host, '.') == 1;
  std::string others;
  const std::vector<std::string>& lines = reading_.files.at(place.file).lines;
  for (std::size_t i = place.line + 1; i <= lines.size(); ++i) {
    std::string_view header = lines[i - 1];
    if (!isHeader(header)) continue;
    header.remove_prefix(header.find('[') + 1);
    const bool same = header.starts_with(written) && header.size() > written.size() &&
                      (header[written.size()] == ']' || header[written.size()] == '.');
    if (same) others += fmt::format("{}{}", others.empty() ? "; likewise in line " : ", ", i);
  }
  reading_.complain(
      place, written,
      fmt::format("a host's name with dots stands in quotes: write [{}.{}]{}{}", name_,
                  tomlText(host), perhapsPath ? R"(; a path begins with "/")" : "", others));
}

/// What a site says for all its folders.
void inheritLanguage(std::vector<MountConfig>& mounts, const std::string& lang) {
  for (MountConfig& mount : mounts) {
    auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory && directory->lang.empty()) directory->lang = lang;
    auto* homes = std::get_if<HomesArgs>(&mount.args);
    if (homes && homes->lang.empty()) homes->lang = lang;
    if (auto* nested = nestedMounts(mount.args)) inheritLanguage(*nested, lang);
  }
}

/// "; write …" for a URL, or for a host with a port or a path.
std::string hostWithin(std::string_view text) {
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    text.remove_prefix(scheme + 3);
  }
  text = text.substr(0, text.find('/'));
  const auto port = text.rfind(':');
  if (port != std::string_view::npos && !parseSiteHost(text)) text = text.substr(0, port);
  const auto host = parseSiteHost(text);
  return host ? fmt::format("; write {}, without scheme, port and path", tomlText(*host)) : "";
}

SiteConfig TableReader::site(const std::string& name, const Entry& entry,
                             const std::vector<std::string>& others) {
  SiteConfig site;
  const KeyPlace place = reading_.placeOf(*entry.first);
  site.dottedKey = dotted(name);
  reading_.config.lines[site.dottedKey] = place;
  site.where = reading_.config.where(site.dottedKey);
  if (auto host = parseSiteHost(name)) {
    site.host = std::move(*host);
  } else {
    reading_.complain(place, site.dottedKey,
                      fmt::format("found {}; allowed: {}{}", tomlText(name), forms::host().allowed,
                                  hostWithin(name)));
  }
  const toml::table* table = tableOf(*entry.second, place, site.dottedKey);
  if (!table) return site;
  TableReader reader(reading_, *table, site.dottedKey);
  reader.known_ = others;
  describe(reader, site);
  reader.siteMounts(site);
  reader.complainOfUnknown();
  inheritLanguage(site.mounts, site.lang);
  return site;
}

std::vector<MountConfig> TableReader::paths() {
  hasPaths_ = true;
  std::vector<MountConfig> mounts;
  for (const auto& [key, node] : reading_.inFileOrder(table_)) {
    if (key->str().starts_with('/')) mounts.push_back(mount(key->str(), mounts));
  }
  return mounts;
}

void TableReader::siteMounts(SiteConfig& site) {
  site.mounts = paths();
  if (!find("root")) return;
  if (!site.mounts.empty()) {
    constexpr auto text = R"(stands beside paths; set it in [{}."/"], with module = "directory")";
    return complain("root", fmt::format(text, name_));
  }
  DirectoryArgs args;
  describe(*this, args);
  site.mounts.push_back({"/", site.where, std::move(args), name_});
}

MountConfig TableReader::mount(std::string_view key, const std::vector<MountConfig>& earlier) {
  MountConfig mount;
  const toml::table* table = subTable(key);
  mount.dottedKey = dotted(key);
  mount.where = reading_.config.where(mount.dottedKey);
  // Without a readable module the mount still counts, as one that nothing else is wrong with.
  mount.args = ReplyArgs{.status = 50, .meta = "", .body = ""};
  if (auto path = mountPath(key)) {
    mount.path = std::move(*path);
    const auto same =
        std::ranges::find_if(earlier, [&](const auto& other) { return other.path == mount.path; });
    if (same != earlier.end()) complain(key, "the same path as " + same->where);
  } else {
    complain(key, R"(a path must not have empty, "." or ".." segments)");
  }
  if (table) TableReader(reading_, *table, mount.dottedKey, depth_).readModule(mount);
  return mount;
}

void TableReader::readModule(MountConfig& mount) {
  static const std::string allowed =
      quotedList(std::vector<std::string>(kModuleNames.begin(), kModuleNames.end()), ", ");
  const toml::node* node = find("module");
  if (!node) return complainWithoutModule(allowed);
  const auto name = scalar(*node, placeOf("module"), dotted("module"), forms::text());
  if (!name) return;
  auto args = moduleArgs(*name);
  if (!args) {
    static const std::vector<std::string> names(kModuleNames.begin(), kModuleNames.end());
    return complain("module", fmt::format("found {}; allowed: {}{}", tomlText(*name), allowed,
                                          perhaps(*name, names)));
  }
  mount.args = std::move(*args);
  std::visit([this](auto& values) { describe(*this, values); }, mount.args);
  complainOfUnknown();
}

/// Whose keys these should be is not known: those that are near a key of some module are named, and
/// one that is near "module" is what is wrong.
void TableReader::complainWithoutModule(std::string_view allowed) {
  const std::vector<std::string>& known = moduleKeys();
  bool isMisspelt = false;
  for (const auto& [key, node] : reading_.inFileOrder(table_)) {
    if (std::ranges::find(known, key->str()) != known.end()) continue;
    const auto near = nearNames(key->str(), known);
    if (near.empty()) continue;
    isMisspelt = isMisspelt || near.front() == "module";
    complainOfUnknownKey(key->str(), known);
  }
  if (isMisspelt) return;
  const KeyPlace place = reading_.config.lines[name_];
  reading_.complain(place, name_, fmt::format("module is missing; allowed: {}", allowed));
}

/// In the order of the files, each once: a site's `root` and `lang` are read for two.
/// Of a line that was guessed only the last is left.
Complaints inOrder(std::vector<std::pair<KeyPlace, Complaint>> complaints,
                   const std::set<KeyPlace>& guessed) {
  std::ranges::stable_sort(complaints,
                           [](const auto& a, const auto& b) { return a.first < b.first; });
  Complaints result;
  for (std::size_t i = 0; i < complaints.size(); ++i) {
    const KeyPlace place = complaints[i].first;
    Complaint& complaint = complaints[i].second;
    const bool isMoreToCome = i + 1 < complaints.size() && complaints[i + 1].first == place;
    if (guessed.contains(place) && isMoreToCome) continue;
    const bool again = std::ranges::any_of(result, [&](const Complaint& other) {
      return other.where == complaint.where && other.text == complaint.text;
    });
    if (!again) result.push_back(std::move(complaint));
  }
  return result;
}

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

/// What the tables say, once all of them are there.
void readTables(Reading& reading, const toml::table& whole) {
  TableReader reader(reading, whole, "");
  describe(reader, reading.config);
  reader.complainOfUnknown();
  Config& config = reading.config;
  if (!config.router.module.empty()) reading.resolve(config.router.module, "router.module");
  if (!config.rateLimit.module.empty()) {
    reading.resolve(config.rateLimit.module, "rate_limit.module");
  }
  if (isLogFile(config.log.target)) reading.resolve(config.log.target, "log.target");
  if (isLogFile(config.log.accessTarget)) {
    reading.resolve(config.log.accessTarget, "log.access_target");
  }
}

}  // namespace

LoadedConfig parseConfig(std::string_view toml, const path& file) {
  Reading reading(file);
  if (auto whole = parseToml(toml, reading)) {
    Includer(reading, *whole, kMaxConfigBytes - std::min(toml.size(), kMaxConfigBytes)).run();
    readTables(reading, *whole);
  }
  return {std::move(reading.config), inOrder(std::move(reading.complaints), reading.guessed)};
}

LoadedConfig loadConfig(const path& file) {
  const auto text = readRegularFile(file, kMaxConfigBytes);
  if (text) return parseConfig(*text, file);
  LoadedConfig failed;
  failed.config.file = file;
  failed.complaints.push_back(complaintOf(file.string(), text.error()));
  return failed;
}

std::optional<ListenAddress> parseListenAddress(std::string_view text) {
  return forms::listenAddress().read(std::string(text));
}

std::optional<LogLevel> parseLogLevel(std::string_view text) {
  return forms::logLevel().read(std::string(text));
}

std::optional<std::string> parseSiteHost(std::string_view text) {
  return forms::host().read(std::string(text));
}

}  // namespace egalaxyd
