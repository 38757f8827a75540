#include "ctl/base/command_table.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/base/path.h"
#include "common/base/spelling.h"
#include "ctl/base/folded_output.h"

namespace egalaxyd::ctl {
namespace {

constexpr Command kCommands[] = {
    {"backup", "FILE.tar.zst", "all that the running server keeps, checked; keys too", 1, 1, "json",
     &backUp},
    {"certificate create", "HOST... [--dir DIR]", "make a self-signed certificate and its key", 1,
     kAnyNumber, "dir json", &createCertificate},
    {"certificate install", "HOST --cert --key", "hand a certificate to the server", 1, 1,
     "cert json key", &installCertificate},
    {"certificate list", "", "what the server uses, and which of it expires soon", 0, 0, "json",
     &listCertificates},
    {"certificate show", "FILE", "names, fingerprints and dates of certificates", 1, 1, "json",
     &showCertificate},
    {"certificate sync", "[--config FILE]", "use the certificates that all hosts share", 0, 0,
     "config json", &syncCertificates},
    {"check", "[FILE]", "check a configuration, as egalaxyd --check does", 0, 1, "",
     &checkConfiguration},
    {"completion", "bash|zsh|fish", "print a completion script for a shell", 1, 1, "",
     &printCompletion},
    {"content import", "FOLDER [--config FILE]", "store what differs from the shared database", 1,
     1, "config json", &importContentFolder},
    {"content verify", "[--config FILE]", "list what differs from the shared database", 0, 0,
     "config json", &verifyContentFiles},
    {"fleet", "", "the hosts that share the database, and how they are", 0, 0, "json", &listFleet},
    {"get", "URL [--head] [--verbose]", "fetch a gemini:// or spartan:// page", 1, 1,
     "cert connect head key timeout trust verbose", &getUrl},
    {"help", "[COMMAND]", "what there is, or what a command takes", 0, 2, "", &showHelp},
    {"identity create", "NAME [--dir DIR]", "make a client certificate and its key", 1, 1,
     "dir json", &createIdentity},
    {"identity show", "FILE", "its fingerprints, and the line that lets its holder in", 1, 1,
     "json", &showIdentity},
    {"limits", "", "who is rate-limited, and until when", 0, 0, "json", &listLimits},
    {"limits clear", "[ADDR]", "let one address, or all, ask again at once", 0, 1, "json",
     &clearLimits},
    {"log", "LEVEL", "log from LEVEL on, until the next reload: trace to error", 1, 1, "json",
     &changeLogLevel},
    {"put", "FILE|FOLDER... URL [--token T]", "upload to a titan:// or spartan:// URL", 1,
     kAnyNumber, "cert connect delete head key mime timeout token trust verbose", &putFiles},
    {"reload", "", "start anew with the configuration as it is now", 0, 0, "json", &reloadServer},
    {"scripts", "", "what scripts run, for whom, and who waits", 0, 0, "json", &listScripts},
    {"scripts stop", "PID", "end one that runs, with all that it has started", 1, 1, "json",
     &stopScript},
    {"stats", "[--watch[=SEC]] [--format F]",
     "totals, latencies and memory; F: text, json, prometheus", 0, 0, "format json watch",
     &showStatistics},
    {"status", "", "what runs, since when, and how it is", 0, 0, "json", &showStatus},
    {"stop", "", "let the server finish and end", 0, 0, "json", &stopServer},
    {"storage copy", "--from|--to sqlite:FILE [--merge]",
     "all that is kept, from a single host's database or back", 0, 0, "config from json merge to",
     &copyStorage},
    {"token", "[--bytes N] [--name NAME]", "make an upload token and the line that accepts it", 0,
     0, "bytes json name", &printToken},
    {"uploads", "[FILTERS] [--limit N]", "newest first; by --host, --path, --user or --since", 0, 0,
     "host json limit path since user", &listUploads},
    {"uploads diff", "ID [--current]", "what it changed; or what changed since", 1, 1, "current",
     &diffUpload},
    {"uploads restore", "ID", "make its content current again; of a deletion: undo it", 1, 1,
     "json", &restoreUpload},
    {"uploads show", "ID [--content]", "all about one upload, or what it brought", 1, 1,
     "content json", &showUpload},
    {"upstreams", "", "the applications and capsules that are called, and how they are", 0, 0,
     "json", &listUpstreams},
    {"users", "[--limit N]", "holders of client certificates, last seen first", 0, 0, "json limit",
     &listUsers},
    {"users forget", "ID", "remove a user and all metadata; uploads stay", 1, 1, "json",
     &forgetUser},
    {"users show", "ID", "a user, the metadata and the last uploads", 1, 1, "json", &showUser},
    {"worker restart", "N|all", "replace workers one by one; each finishes what it has", 1, 1,
     "json", &restartWorker},
};

bool beginsWith(const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
  return arguments.size() >= words.size() &&
         std::equal(words.begin(), words.end(), arguments.begin());
}

using CommandList = std::vector<const Command*>;

/// Those of `all` whose word at `place` is `word`, or else near to it.
CommandList withWord(const CommandList& all, std::size_t place, const std::string& word) {
  std::vector<std::string> known;
  for (const Command* command : all) {
    const auto words = splitWords(command->words);
    if (words.size() > place) known.push_back(words[place]);
  }
  auto near = nearNames(word, known);
  if (!near.empty() && near.front() == word) near = {word};
  CommandList found;
  for (const Command* command : all) {
    const auto words = splitWords(command->words);
    if (words.size() > place && std::ranges::find(near, words[place]) != near.end()) {
      found.push_back(command);
    }
  }
  return found;
}

/// The commands that may have been meant: "certificate crate" means one, "certificate" or
/// "certificate x" the group, "restart" is a second word without its first.
CommandList meant(const std::vector<std::string>& words) {
  CommandList all;
  for (const Command& command : kCommands) all.push_back(&command);
  const CommandList group = withWord(all, 0, words.front());
  if (group.empty()) return withWord(all, 1, words.front());
  if (words.size() == 1) return group;
  const CommandList narrowed = withWord(group, 1, words[1]);
  return narrowed.empty() ? group : narrowed;
}

int refuseUnknown(const Invocation& invocation) {
  const auto& words = invocation.arguments;
  if (words.empty()) {
    invocation.err << "egalaxyctl: no command given; these exist:\n" << commandList();
    return kExitUsage;
  }
  const CommandList near = meant(words);
  invocation.err << fmt::format("egalaxyctl: there is no command '{}'", fmt::join(words, " "))
                 << (near.empty() ? "; these exist:\n" : "; did you mean:\n");
  if (near.empty()) invocation.err << commandList();
  for (const Command* command : near) invocation.err << commandList(command);
  return kExitUsage;
}

/// "" when the command takes the line as it is.
std::string mistakeIn(const Command& command, const Invocation& invocation) {
  const std::size_t count = invocation.arguments.size();
  if (count < command.minArguments) {
    return splitWords(command.arguments).front() + " is missing";
  }
  if (count > command.maxArguments) {
    return fmt::format("'{}' is one argument too many", invocation.arguments[command.maxArguments]);
  }
  auto taken = splitWords(command.options);
  for (const std::string& option : splitWords(kGlobalOptions)) taken.push_back(option);
  for (const auto& [option, value] : invocation.options) {
    if (std::ranges::find(taken, option) == taken.end()) {
      return fmt::format("it takes no --{}", option);
    }
  }
  return "";
}

int exitCodeOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return kExitNoInput;
    case ErrorCode::kPermission:
      return kExitPermission;
    case ErrorCode::kExists:
    case ErrorCode::kNoSpace:
      return kExitCannotCreate;
    case ErrorCode::kBusy:
    case ErrorCode::kAgain:
      return kExitBusy;
    case ErrorCode::kInvalid:
      return kExitData;
    case ErrorCode::kUnknown:
    case ErrorCode::kIo:
      return kExitIo;
  }
  return kExitSoftware;
}

}  // namespace

std::vector<std::string> splitWords(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (!word.empty()) words.emplace_back(word);
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  return words;
}

std::span<const Command> commands() { return kCommands; }

const Command* findCommand(const std::vector<std::string>& arguments) {
  const Command* found = nullptr;
  for (const Command& command : kCommands) {
    if (!beginsWith(arguments, splitWords(command.words))) continue;
    if (found == nullptr || command.words.size() > found->words.size()) found = &command;
  }
  return found;
}

int runCommand(const Invocation& invocation) {
  const Command* command = findCommand(invocation.arguments);
  if (command == nullptr) return refuseUnknown(invocation);
  Invocation own = invocation;
  const auto words = static_cast<std::ptrdiff_t>(splitWords(command->words).size());
  own.arguments.erase(own.arguments.begin(), own.arguments.begin() + words);
  const std::string mistake = mistakeIn(*command, own);
  if (mistake.empty()) return command->run(own);
  invocation.err << fmt::format("egalaxyctl {}: {}; it is used so:\n", command->words, mistake)
                 << commandList(command);
  return kExitUsage;
}

std::string commandList(const Command* only) {
  std::string list;
  for (const Command& command : kCommands) {
    if (only != nullptr && only != &command) continue;
    std::string line =
        fmt::format("  {:<40}", fmt::format("{} {}", command.words, command.arguments));
    for (const std::string& word : splitWords(command.summary)) {
      if (line.size() + word.size() > kColumns) {
        list += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
        line.assign(44, ' ');
      }
      line += word + ' ';
    }
    list += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  }
  return list;
}

/// The program itself shows the options, too.
int showHelp(const Invocation& invocation) {
  if (invocation.arguments.empty()) {
    invocation.out << commandList();
    return 0;
  }
  const Command* command = findCommand(invocation.arguments);
  if (command == nullptr) return refuseUnknown(invocation);
  invocation.out << commandList(command);
  return 0;
}

int refuseLine(const Invocation& invocation, std::string_view command, std::string_view why) {
  invocation.err << fmt::format("egalaxyctl {}: {}\n", command, why);
  return kExitUsage;
}

int refuseValue(const Invocation& invocation, std::string_view command, std::string_view value,
                const std::vector<std::string>& known) {
  const auto near = nearNames(value, known);
  const std::string hint = near.empty() ? "" : fmt::format("; did you mean {}?", near.front());
  return refuseLine(invocation, command,
                    fmt::format("'{}' is not one of {}{}", value, fmt::join(known, ", "), hint));
}

int complain(const Invocation& invocation, const Error& error) {
  invocation.err << "egalaxyctl: " << printable(error.message) << '\n';
  return exitCodeOf(error.code);
}

}  // namespace egalaxyd::ctl
