// Completion scripts, made from the command table so that they never lag behind it.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/config/config_loader.h"
#include "ctl/base/command_table.h"

namespace egalaxyd::ctl {
namespace {

const std::vector<std::string> kShells{"bash", "zsh", "fish"};

/// What may stand behind some words: "certificate" and {"create", "show"}.
struct Level {
  std::string words;
  std::vector<std::string> next;
};

void add(std::vector<Level>& levels, const std::string& words, const std::string& next) {
  auto level =
      std::ranges::find_if(levels, [&](const Level& known) { return known.words == words; });
  if (level == levels.end()) level = levels.insert(levels.end(), {words, {}});
  auto& all = level->next;
  if (std::ranges::find(all, next) == all.end()) all.push_back(next);
}

std::vector<Level> allLevels() {
  std::vector<Level> levels;
  for (const Command& command : commands()) {
    std::string words;
    for (const std::string& word : splitWords(command.words)) {
      add(levels, words, word);
      words += (words.empty() ? "" : " ") + word;
    }
  }
  for (const std::string& shell : kShells) add(levels, "completion", shell);
  for (const std::string_view level : kLogLevels) add(levels, "log", std::string(level));
  add(levels, "worker restart", "all");
  return levels;
}

std::string dashed(std::string_view options) {
  std::string text;
  for (const std::string& option : splitWords(options)) {
    text += fmt::format("{}--{}", text.empty() ? "" : " ", option);
  }
  return text;
}

std::string bashScript() {
  std::string levels;
  for (const Level& level : allLevels()) {
    levels +=
        fmt::format("    '{}') candidates='{}' ;;\n", level.words, fmt::join(level.next, " "));
  }
  std::string options;
  const auto all = commands();
  for (auto command = all.rbegin(); command != all.rend(); ++command) {  // "users show" first
    if (command->options.empty()) continue;
    options +=
        fmt::format("    '{}'*) candidates+=' {}' ;;\n", command->words, dashed(command->options));
  }
  return fmt::format(R"(_egalaxyctl() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" words='' candidates='' previous='' word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${{COMP_WORDS[i]}}"
    if [[ $word != -* && $previous != --socket ]]; then words="${{words:+$words }}$word"; fi
    previous="$word"
  done
  if [[ $cur == -* ]]; then
    candidates='{}'
    case "$words" in
{}    esac
  else
    case "$words" in
{}    esac
  fi
  COMPREPLY=($(compgen -W "$candidates" -- "$cur"))
}}
complete -o default -F _egalaxyctl egalaxyctl
)",
                     dashed(kGlobalOptions), options, levels);
}

/// To be sourced, or found by compinit as the function _egalaxyctl, whose first call is already a
/// completion.
std::string zshScript() {
  return "#compdef egalaxyctl\nautoload -U +X bashcompinit && bashcompinit\n" + bashScript() +
         "if [[ $funcstack[1] == _egalaxyctl ]]; then _bash_complete -o default -F _egalaxyctl; "
         "fi\n";
}

std::string fishScript() {
  std::string script = "complete -c egalaxyctl -n __fish_use_subcommand -f\n";
  for (const Level& level : allLevels()) {
    std::string where = "__fish_use_subcommand";
    if (!level.words.empty()) {
      where = "'";
      for (const std::string& word : splitWords(level.words)) {
        where += fmt::format("__fish_seen_subcommand_from {}; and ", word);
      }
      where += fmt::format("not __fish_seen_subcommand_from {}'", fmt::join(level.next, " "));
    }
    script +=
        fmt::format("complete -c egalaxyctl -n {} -f -a '{}'\n", where, fmt::join(level.next, " "));
  }
  for (const std::string& option : splitWords(kGlobalOptions)) {
    script += fmt::format("complete -c egalaxyctl -l {}\n", option);
  }
  for (const Command& command : commands()) {
    for (const std::string& option : splitWords(command.options)) {
      script += fmt::format("complete -c egalaxyctl -n '__fish_seen_subcommand_from {}' -l {}\n",
                            splitWords(command.words).back(), option);
    }
  }
  return script;
}

}  // namespace

int printCompletion(const Invocation& invocation) {
  const std::string& shell = invocation.arguments.front();
  if (shell == "bash") {
    invocation.out << bashScript();
  } else if (shell == "zsh") {
    invocation.out << zshScript();
  } else if (shell == "fish") {
    invocation.out << fishScript();
  } else {
    return refuseValue(invocation, "completion", shell, kShells);
  }
  return 0;
}

}  // namespace egalaxyd::ctl
