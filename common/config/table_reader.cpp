#include "common/config/table_reader.h"

#include <algorithm>
#include <set>
#include <variant>

#include "common/base/path.h"
#include "common/base/spelling.h"
#include "common/config/include_files.h"
#include "common/config/known_keys.h"
#include "common/config/people.h"
#include "common/config/syntax_fault.h"

namespace egalaxyd {
namespace {

/// "@ann" of each who has a name.
std::vector<std::string> peopleIn(const Config& config) {
  auto names = namesOf(config.people);
  for (std::string& name : names) name.insert(0, 1, '@');
  return names;
}

/// Whether this within a host's table may be the rest of the host's name: "org" within "example",
/// in [sites.example.org].
bool continuesName(const Entry& entry) {
  const std::string_view name = entry.first->str();
  const toml::table* table = entry.second->as_table();
  return table != nullptr && !table->contains("module") && !name.starts_with('/') &&
         !isModuleKey(name) && !isSiteKey(name);
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
  const auto hostOf = [](std::string_view name) { return forms::host().read(std::string(name)); };
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    text.remove_prefix(scheme + 3);
  }
  text = text.substr(0, text.find('/'));
  const auto port = text.rfind(':');
  if (port != std::string_view::npos && !hostOf(text)) text = text.substr(0, port);
  const auto host = hostOf(text);
  return host ? fmt::format("; write {}, without scheme, port and path", tomlText(*host)) : "";
}

}  // namespace

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

SiteConfig TableReader::site(const std::string& name, const Entry& entry,
                             const std::vector<std::string>& others) {
  SiteConfig site;
  const KeyPlace place = reading_.placeOf(*entry.first);
  site.dottedKey = dotted(name);
  reading_.config.lines[site.dottedKey] = place;
  site.where = reading_.config.where(site.dottedKey);
  if (auto host = forms::host().read(name)) {
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

}  // namespace egalaxyd
