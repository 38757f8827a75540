#include "common/config/known_keys.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <set>
#include <variant>

#include "common/config/config_schema.h"

namespace egalaxyd {
namespace {

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

}  // namespace

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

bool isSiteKey(std::string_view key) {
  return std::ranges::find(siteKeys(), key) != siteKeys().end();
}

std::string homeOf(std::string_view key) {
  Config config;
  Sections sections{key};
  describe(sections, config);
  return fmt::format("{}", fmt::join(sections.found, " or "));
}

}  // namespace egalaxyd
