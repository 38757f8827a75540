// A site's redirects by pattern, ready to be asked. The only door to RE2 for them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// Of one site.
inline constexpr std::size_t kMostRedirects = 1000;

/// Immutable: made by the master before the fork, any thread afterwards. Takes time by the length
/// of the path, hardly by the number of rules: one automaton finds those that match. What RE2 keeps
/// of paths that it has seen is bounded, for a site with one rule by some 300 KiB, with a thousand
/// by some 16 MiB.
class RedirectRules {
 public:
  /// What is wrong with a rule, which is left out then.
  struct Fault {
    std::size_t rule;      ///< its index
    std::string_view key;  ///< "from" or "to"; "": all of them
    std::string text;
  };

  explicit RedirectRules(const std::vector<PatternRedirect>& rules);
  ~RedirectRules();

  const std::vector<Fault>& faults() const { return faults_; }

  /// Whether any rule matches `path`, which is normalised (normalisePath).
  bool match(std::string_view path) const { return first(path).has_value(); }

  struct Target {
    std::string url;  ///< a path on the same host, or a URL whose host the operator wrote
    bool permanent = false;
  };
  /// Of the first rule that matches. What it has taken from `path` is percent-encoded.
  std::optional<Target> find(std::string_view path) const;

 private:
  struct Rule;
  struct Automaton;

  void add(const PatternRedirect& redirect, std::size_t index);
  std::optional<std::size_t> first(std::string_view path) const;

  std::vector<Rule> rules_;
  std::unique_ptr<Automaton> all_;  ///< nullptr: there are no rules, or it has no room for them
  std::vector<Fault> faults_;
};

}  // namespace egalaxyd
