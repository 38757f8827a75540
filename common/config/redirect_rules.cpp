#include "common/config/redirect_rules.h"

#include <re2/re2.h>
#include <re2/set.h>
#include <re2/stringpiece.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "common/base/limits.h"
#include "common/base/path.h"
#include "common/wire/uri.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostPatternBytes = 1024;
/// Of one pattern: its program, and the states that it has been in.
constexpr std::int64_t kPatternMemory = 256 * 1024;
/// Of the automaton of all patterns: with none, and for each.
constexpr std::int64_t kLeastMemory = 256 * 1024;
constexpr std::int64_t kMemoryPerPattern = 16 * 1024;

constexpr auto kReferences = R"(allowed: $1 to $9, and $$ for a dollar sign)";

RE2::Options optionsFor(std::int64_t memory) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(memory);
  return options;
}

/// A target in pieces: a text, and the group whose text follows it, or 0.
struct Piece {
  std::string text;
  int group = 0;
};

/// "" or what is wrong with a reference; else `pieces` is the target.
std::string readPieces(std::string_view to, int groups, std::vector<Piece>& pieces) {
  pieces.emplace_back();
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] != '$') {
      pieces.back().text += to[i];
      continue;
    }
    const char next = ++i < to.size() ? to[i] : '\0';
    if (next == '$') {
      pieces.back().text += '$';
    } else if (next < '1' || next > '9') {
      return fmt::format("found \"$\" before something else than a group's number; {}",
                         kReferences);
    } else if (next - '0' > groups) {
      return fmt::format("found ${}, but from has {} group{}; put what is meant in round brackets",
                         next, groups, groups == 1 ? "" : "s");
    } else {
      pieces.back().group = next - '0';
      pieces.emplace_back();
    }
  }
  return {};
}

/// "" or what is wrong with a target, but for its references.
std::string faultOf(std::string_view to, const std::vector<Piece>& pieces) {
  constexpr auto allowed =
      "allowed: a path such as \"/gemlog/$1\", or a URL such as \"gemini://example.org/$1\"";
  constexpr std::array<std::string_view, 3> kNames{"%path%", "%query%", "%host%"};
  for (const std::string_view name : kNames) {
    if (to.find(name) == std::string_view::npos) continue;
    return fmt::format(
        "found \"{}\", which module = \"redirect\" knows; write $1 for what the "
        "first round brackets of from hold",
        name);
  }
  if (to.starts_with("//") || to.starts_with("/\\")) {
    return fmt::format("found \"{}\", which leads to another host; write the URL whole", to);
  }
  std::string sample;
  for (const Piece& piece : pieces) sample += piece.text + (piece.group == 0 ? "" : "x");
  const bool isPath = sample.starts_with('/');
  const std::size_t authority = sample.find("://");
  if (!isPath) {
    // The scheme and the host stand before the first group.
    const std::string& known = pieces.front().text;
    const std::size_t end =
        authority == std::string::npos ? authority : known.find_first_of("/?", authority + 3);
    const bool isWhole = pieces.size() == 1 || end != std::string::npos;
    if (authority == std::string::npos) {
      return fmt::format("found \"{}\", neither a path nor a URL; {}", to, allowed);
    }
    if (!isWhole) return fmt::format("found a group in the host; write the host out; {}", allowed);
  }
  const auto parsed = parseUri(isPath ? "gemini://h" + sample : sample);
  if (const auto* error = std::get_if<UriError>(&parsed)) {
    return fmt::format("found \"{}\": {}; {}; what a URL may not hold is written percent-encoded",
                       to, describe(*error), allowed);
  }
  return {};
}

/// Leaves one leading slash: a target that begins with "//" would name a host.
void keepOneSlash(std::string& target) {
  const std::size_t end = std::min(target.find_first_not_of('/'), target.size());
  if (end > 1) target.erase(0, end - 1);
}

}  // namespace

struct RedirectRules::Rule {
  std::unique_ptr<const RE2> from;
  std::vector<Piece> to;
  bool permanent = false;
};

struct RedirectRules::Automaton {
  RE2::Set set;
};

RedirectRules::RedirectRules(const std::vector<PatternRedirect>& rules) {
  if (rules.size() > kMostRedirects) {
    faults_.push_back(
        {0, "", fmt::format("there are {}; allowed: at most {}", rules.size(), kMostRedirects)});
    return;
  }
  for (std::size_t i = 0; i < rules.size(); ++i) add(rules[i], i);
  if (rules_.empty()) return;
  const auto count = static_cast<std::int64_t>(rules_.size());
  all_ = std::make_unique<Automaton>(
      Automaton{RE2::Set(optionsFor(kLeastMemory + count * kMemoryPerPattern), RE2::UNANCHORED)});
  for (const Rule& rule : rules_) {
    std::string error;
    all_->set.Add(rule.from->pattern(), &error);
  }
  if (all_->set.Compile()) return;
  all_.reset();
  faults_.push_back({0, "",
                     "their patterns are too large together; write simpler ones, such as "
                     "without counts like {100}, or fewer"});
}

RedirectRules::~RedirectRules() = default;

void RedirectRules::add(const PatternRedirect& redirect, std::size_t index) {
  const auto fault = [&](std::string_view key, std::string text) {
    faults_.push_back({index, key, std::move(text)});
  };
  if (redirect.from.empty()) {
    return fault("from", R"(is missing or empty; allowed: a pattern such as "^/log/(\d+)$")");
  }
  if (redirect.from.size() > kMostPatternBytes) {
    return fault("from", fmt::format("found {} bytes; allowed: at most {}", redirect.from.size(),
                                     kMostPatternBytes));
  }
  Rule rule{std::make_unique<const RE2>(redirect.from, optionsFor(kPatternMemory)),
            {},
            redirect.permanent};
  if (!rule.from->ok()) {
    constexpr auto text =
        "is no pattern that RE2 knows: {}; in single quotes backslashes stay as they are";
    return fault("from", fmt::format(text, rule.from->error()));
  }
  if (redirect.to.empty()) return fault("to", "is missing or empty; allowed: a path or a URL");
  if (redirect.to.size() > kMaxUriBytes) {
    return fault("to", fmt::format("longer than {} bytes", kMaxUriBytes));
  }
  std::string wrong = readPieces(redirect.to, rule.from->NumberOfCapturingGroups(), rule.to);
  if (wrong.empty()) wrong = faultOf(redirect.to, rule.to);
  if (!wrong.empty()) return fault("to", std::move(wrong));
  rules_.push_back(std::move(rule));
}

std::optional<std::size_t> RedirectRules::first(std::string_view path) const {
  if (all_) {
    std::vector<int> matching;
    RE2::Set::ErrorInfo error{RE2::Set::kNoError};
    const bool found = all_->set.Match({path.data(), path.size()}, &matching, &error);
    if (found) return static_cast<std::size_t>(*std::ranges::min_element(matching));
    if (error.kind == RE2::Set::kNoError) return std::nullopt;
  }
  // The automaton had no room for the states of this path.
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (RE2::PartialMatch({path.data(), path.size()}, *rules_[i].from)) return i;
  }
  return std::nullopt;
}

std::optional<RedirectRules::Target> RedirectRules::find(std::string_view path) const {
  const auto index = first(path);
  if (!index) return std::nullopt;
  const Rule& rule = rules_[*index];
  std::array<re2::StringPiece, 10> groups;  // that which matches, then its groups
  const int wanted = 1 + rule.from->NumberOfCapturingGroups();
  if (rule.to.size() > 1) {
    rule.from->Match({path.data(), path.size()}, 0, path.size(), RE2::UNANCHORED, groups.data(),
                     std::min(wanted, static_cast<int>(groups.size())));
  }
  std::string target;
  for (const Piece& piece : rule.to) {
    target += piece.text;
    if (piece.group == 0) continue;
    const re2::StringPiece& group = groups.at(static_cast<std::size_t>(piece.group));
    std::string_view text(group.data(), group.size());
    // "/new/$1" makes no double slash of what begins with one.
    if (target.ends_with('/') && text.starts_with('/')) text.remove_prefix(1);
    target += percentEncodePath(text);
  }
  if (target.starts_with('/')) keepOneSlash(target);
  return Target{std::move(target), rule.permanent};
}

}  // namespace egalaxyd
