#include "common/config/config_loader.h"

#include <spdlog/fmt/fmt.h>
#include <toml++/toml.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <type_traits>
#include <utility>

#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/base/spelling.h"
#include "common/config/config_schema.h"

namespace egalaxyd {
namespace {

using std::filesystem::path;

/// A hundred times what ten thousand sites take.
constexpr std::size_t kMaxConfigBytes = 256 << 20;

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

/// The visitor that learns the keys of a module.
struct KeyNames {
  std::vector<std::string> names;
  void key(std::string_view name, const auto&, const auto&) { names.emplace_back(name); }
  void list(std::string_view name, const auto&, const auto&) { names.emplace_back(name); }
  void map(std::string_view name, const auto&, Secrecy = Secrecy::kPublic) {
    names.emplace_back(name);
  }
  void section(std::string_view name, const auto&) { names.emplace_back(name); }
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
    return all.names;
  }();
  return keys;
}

using Entry = std::pair<const toml::key*, const toml::node*>;

/// A table's entries in the order of the file.
std::vector<Entry> inFileOrder(const toml::table& table) {
  std::vector<Entry> entries;
  for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
  std::ranges::stable_sort(entries, [](const Entry& a, const Entry& b) {
    const auto& x = a.first->source().begin;
    const auto& y = b.first->source().begin;
    return std::pair(x.line, x.column) < std::pair(y.line, y.column);
  });
  return entries;
}

/// What the readers of one file share: the result, the complaints and the folder.
struct Reading {
  Config config;
  std::vector<std::pair<std::size_t, Complaint>> complaints;  ///< with their lines
  path folder;

  void complain(std::size_t line, const std::string& key, std::string text) {
    std::string where = fmt::format("{}:{}: {}", config.file.string(), line, key);
    complaints.push_back({line, {std::move(where), std::move(text)}});
    config.faulty.insert(key);
  }
  path resolve(const path& named) const {
    return named.empty() ? named : (folder / named).lexically_normal();
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
    if (auto read = scalar(*node, lineOf(key), dotted(key), form)) value = std::move(*read);
  }

  template <class T>
  void list(std::string_view key, std::vector<T>& values, const Form<T>& form) {
    const toml::node* node = find(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array) return complain(key, wrongType("an array", *node, ""));
    values.clear();
    for (const toml::node& element : *array) {
      auto read = scalar(element, element.source().begin.line, dotted(key), form);
      if (read) values.push_back(std::move(*read));
    }
  }

  void map(std::string_view key, std::map<std::string, std::string>& values,
           Secrecy = Secrecy::kPublic) {
    const toml::table* table = subTable(key);
    if (!table) return;
    values.clear();
    TableReader reader(reading_, *table, dotted(key));
    for (const auto& [name, node] : inFileOrder(*table)) {
      reader.key(name->str(), values[std::string(name->str())], forms::text());
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
  SiteConfig site(std::string_view key);
  void siteMounts(SiteConfig& site);
  std::vector<MountConfig> paths();
  MountConfig mount(std::string_view key, const std::vector<MountConfig>& earlier);
  void readModule(MountConfig& mount);
  void complainOfUnknownKey(std::string_view key, const std::vector<std::string>& known,
                            std::string_view hint);
  void complainWithoutModule(std::string_view allowed);

  std::string dotted(std::string_view key) const {
    return name_.empty() ? tomlKey(key) : name_ + "." + tomlKey(key);
  }
  /// Of a key that is there.
  std::size_t lineOf(std::string_view key) const {
    return table_.find(key)->first.source().begin.line;
  }
  void complain(std::string_view key, std::string text) {
    reading_.complain(lineOf(key), dotted(key), std::move(text));
  }
  /// The value of a known key, if the file has it.
  const toml::node* find(std::string_view key);
  const toml::table* subTable(std::string_view key);

  template <class T>
  std::optional<T> scalar(const toml::node& node, std::size_t line, const std::string& full,
                          const Form<T>& form) {
    const auto value = scalarOf(node);
    if (!value || form.types.find(typeName(*value)) == std::string::npos) {
      reading_.complain(line, full, wrongType(form.types, node, form.allowed));
      return std::nullopt;
    }
    auto read = form.read(*value);
    if (!read) {
      const std::string found = form.secretIfWrong ? "something else" : tomlText(*value);
      reading_.complain(line, full, fmt::format("found {}; allowed: {}", found, form.allowed));
    } else if constexpr (std::is_same_v<T, path>) {
      read = reading_.resolve(*read);
    }
    return read;
  }

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
  reading_.config.lines[dotted(key)] = lineOf(key);
  return &entry->second;
}

const toml::table* TableReader::subTable(std::string_view key) {
  const toml::node* node = find(key);
  if (!node || node->is_table()) return node ? node->as_table() : nullptr;
  complain(key, wrongType("a table", *node, ""));
  return nullptr;
}

void TableReader::complainOfUnknown() {
  const std::set<std::string, std::less<>> known(known_.begin(), known_.end());
  for (const auto& [key, node] : inFileOrder(table_)) {
    const bool isPath = hasPaths_ && key->str().starts_with('/');
    if (isPath || known.contains(key->str())) continue;
    const bool perhapsPath = hasPaths_ && node->is_table();
    if (perhapsPath) reading_.config.faulty.insert(dotted("root"));  // it would serve something
    complainOfUnknownKey(key->str(), known_, perhapsPath ? R"(; a path begins with "/")" : "");
  }
}

void TableReader::complainOfUnknownKey(std::string_view key, const std::vector<std::string>& known,
                                       std::string_view hint) {
  for (const std::string& near : nearNames(key, known)) {
    reading_.config.faulty.insert(dotted(near));
  }
  complain(key, unknownName("unknown key", key, known).append(hint));
}

void TableReader::sites(std::string_view key, std::vector<SiteConfig>& sites) {
  const toml::table* table = subTable(key);
  if (!table) return;
  TableReader reader(reading_, *table, dotted(key));
  for (const auto& [host, node] : inFileOrder(*table)) sites.push_back(reader.site(host->str()));
}

/// What a site says for all its folders.
void inheritLanguage(std::vector<MountConfig>& mounts, const std::string& lang) {
  for (MountConfig& mount : mounts) {
    auto* directory = std::get_if<DirectoryArgs>(&mount.args);
    if (directory && directory->lang.empty()) directory->lang = lang;
    if (auto* nested = nestedMounts(mount.args)) inheritLanguage(*nested, lang);
  }
}

SiteConfig TableReader::site(std::string_view key) {
  SiteConfig site;
  const toml::table* table = subTable(key);
  site.dottedKey = dotted(key);
  site.where = reading_.config.where(site.dottedKey);
  if (auto host = parseSiteHost(key)) {
    site.host = std::move(*host);
  } else {
    complain(key, fmt::format("found {}; allowed: {}", tomlText(std::string(key)),
                              forms::host().allowed));
  }
  if (!table) return site;
  TableReader reader(reading_, *table, site.dottedKey);
  describe(reader, site);
  reader.siteMounts(site);
  reader.complainOfUnknown();
  inheritLanguage(site.mounts, site.lang);
  return site;
}

std::vector<MountConfig> TableReader::paths() {
  hasPaths_ = true;
  std::vector<MountConfig> mounts;
  for (const auto& [key, node] : inFileOrder(table_)) {
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
  const auto name = scalar(*node, lineOf("module"), dotted("module"), forms::text());
  if (!name) return;
  auto args = moduleArgs(*name);
  if (!args) {
    return complain("module", fmt::format("found {}; allowed: {}", tomlText(*name), allowed));
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
  for (const auto& [key, node] : inFileOrder(table_)) {
    if (std::ranges::find(known, key->str()) != known.end()) continue;
    const auto near = nearNames(key->str(), known);
    if (near.empty()) continue;
    isMisspelt = isMisspelt || near.front() == "module";
    complainOfUnknownKey(key->str(), known, "");
  }
  if (isMisspelt) return;
  const std::size_t line = reading_.config.lines[name_];
  reading_.complain(line, name_, fmt::format("module is missing; allowed: {}", allowed));
}

/// In the order of the file, each once: a site's `root` and `lang` are read for two.
Complaints inOrder(std::vector<std::pair<std::size_t, Complaint>> complaints) {
  std::ranges::stable_sort(complaints,
                           [](const auto& a, const auto& b) { return a.first < b.first; });
  Complaints result;
  for (auto& placed : complaints) {
    Complaint& complaint = placed.second;
    const bool again = std::ranges::any_of(result, [&](const Complaint& other) {
      return other.where == complaint.where && other.text == complaint.text;
    });
    if (!again) result.push_back(std::move(complaint));
  }
  return result;
}

}  // namespace

LoadedConfig parseConfig(std::string_view toml, const path& file) {
  Reading reading;
  reading.config.file = file;
  std::error_code error;
  reading.folder = std::filesystem::absolute(file, error).parent_path();
  try {
    const toml::table table = toml::parse(toml, file.string());
    TableReader reader(reading, table, "");
    describe(reader, reading.config);
    reader.complainOfUnknown();
  } catch (const toml::parse_error& e) {
    return {std::move(reading.config),
            {{fmt::format("{}:{}", file.string(), e.source().begin.line),
              fmt::format("not valid TOML: {}", e.description())}}};
  }
  for (std::string* module : {&reading.config.router.module, &reading.config.rateLimit.module}) {
    if (!module->empty()) *module = reading.resolve(*module).string();
  }
  std::string& target = reading.config.log.target;
  if (target != "stderr" && target != "journal") target = reading.resolve(target).string();
  return {std::move(reading.config), inOrder(std::move(reading.complaints))};
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
