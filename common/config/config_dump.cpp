#include "common/config/config_dump.h"

#include <spdlog/fmt/fmt.h>

#include <string>
#include <variant>
#include <vector>

#include "common/config/config_schema.h"
#include "common/config/people.h"

namespace egalaxyd {
namespace {

/// In place of a secret. No reader takes it for one, so that a dump does not pass for the file.
constexpr std::string_view kMasked = "\"(masked)\"";

template <class T>
std::string valueText(const T& value, const Form<T>& form) {
  const Scalar written = form.write(value);
  const bool masked = form.secret && written != Scalar(std::string());  // "" is none
  return masked ? std::string(kMasked) : tomlText(written);
}

/// The visitor that writes a table in one line.
struct InlineTable {
  std::string items;

  template <class T>
  void key(std::string_view name, const T& value, const Form<T>& form) {
    items += fmt::format("{}{} = {}", items.empty() ? "" : ", ", name, valueText(value, form));
  }
};

template <class T>
std::string inlineTable(T& value) {
  InlineTable table;
  describe(table, value);
  return fmt::format("{{ {} }}", table.items);
}

/// The visitor that writes each key with its value.
class Dumper {
 public:
  explicit Dumper(const People& people) : people_(people) {}

  template <class T>
  void key(std::string_view name, const T& value, const Form<T>& form) {
    line(name, valueText(value, form));
  }

  template <class T>
  void list(std::string_view name, const std::vector<T>& values, const Form<T>& form) {
    line(name, array(values, form));
  }

  void list(std::string_view name, const std::vector<std::string>& values,
            const Form<std::string>& form) {
    line(name, array(form.mayBePerson ? withNames(people_, values) : values, form));
  }

  template <class T>
  void named(std::string_view name, const std::vector<T>& values, const Form<T>& form) {
    if (values.empty() || values.front().name.empty()) return list(name, values, form);
    std::string items;
    for (const T& value : values) {
      items += fmt::format("{}{} = {}", items.empty() ? "" : ", ", tomlKey(value.name),
                           valueText(value, form));
    }
    line(name, fmt::format("{{ {} }}", items));
  }

  void people(std::string_view key, const People& people) {
    header(std::string(key));
    const auto form = forms::fingerprint();
    for (const std::string& name : namesOf(people)) {
      const auto fingerprints = fingerprintsOf(people, name);
      line(name, fingerprints.size() == 1 ? valueText(fingerprints.front(), form)
                                          : array(fingerprints, form));
    }
  }

  void map(std::string_view name, const std::map<std::string, std::string>& values,
           Secrecy secrecy = Secrecy::kPublic) {
    if (secrecy == Secrecy::kSecret && !values.empty()) return line(name, kMasked);
    std::string items;
    for (const auto& [key, value] : values) {
      items += fmt::format("{}{} = {}", items.empty() ? "" : ", ", tomlKey(key), tomlText(value));
    }
    line(name, items.empty() ? "{}" : fmt::format("{{ {} }}", items));
  }

  template <class T>
  void tables(std::string_view name, std::vector<T>& values) {
    std::string items;
    for (T& value : values) items += (items.empty() ? "" : ", ") + inlineTable(value);
    line(name, fmt::format("[{}]", items));
  }

  void rules(std::string_view name, std::vector<FileRule>& values) {
    std::string items;
    for (FileRule& rule : values) {
      items += fmt::format("{}{} = {}", items.empty() ? "" : ", ", tomlKey(rule.pattern),
                           inlineTable(rule));
    }
    line(name, items.empty() ? "{}" : fmt::format("{{ {} }}", items));
  }

  template <class T>
  void section(std::string_view name, T& values) {
    header(std::string(name));
    describe(*this, values);
  }

  template <class T>
  void section(std::string_view name, std::optional<T>& values) {
    if (!values) return;
    header(fmt::format("{}.{}", mount_, name));
    describe(*this, *values);
  }

  template <class T>
  void toggle(std::string_view name, std::optional<T>& values) {
    if (!values) return line(name, "false");
    Dumper inner(people_);
    describe(inner, *values);
    line(name, fmt::format("{{ {} }}", fmt::join(inner.lines_, ", ")));
  }

  void sites(std::string_view name, std::vector<SiteConfig>& sites) {
    for (SiteConfig& site : sites) {
      const std::string key = fmt::format("{}.{}", name, tomlKey(site.host));
      header(key);
      describe(*this, site);
      mountsOf(key, site.mounts);
    }
  }

  void mounts(std::string_view name, std::vector<MountConfig>& mounts) {
    mountsOf(fmt::format("{}.{}", mount_, name), mounts);
  }

  std::string text() const { return fmt::format("{}\n", fmt::join(lines_, "\n")); }

 private:
  template <class T>
  static std::string array(const std::vector<T>& values, const Form<T>& form) {
    std::string items;
    for (const T& value : values) items += (items.empty() ? "" : ", ") + valueText(value, form);
    return fmt::format("[{}]", items);
  }

  void mountsOf(const std::string& key, std::vector<MountConfig>& mounts) {
    for (MountConfig& mount : mounts) {
      mount_ = fmt::format("{}.{}", key, tomlKey(mount.path));
      header(mount_);
      line("module", tomlText(std::string(kModuleNames[mount.args.index()])));
      std::visit([this](auto& values) { describe(*this, values); }, mount.args);
    }
  }

  void line(std::string_view name, std::string_view value) {
    lines_.push_back(fmt::format("{} = {}", tomlKey(name), value));
  }
  void header(const std::string& name) {
    if (!lines_.empty()) lines_.emplace_back();
    lines_.push_back(fmt::format("[{}]", name));
  }

  const People& people_;
  std::vector<std::string> lines_;
  std::string mount_;  ///< the table of the path that is being written
};

}  // namespace

std::string dumpConfig(const Config& config) {
  Config copy = config;  // visitors see values that a reader may fill
  Dumper dumper(config.people);
  describe(dumper, copy);
  return dumper.text();
}

}  // namespace egalaxyd
