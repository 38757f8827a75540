// The commands of egalaxyctl, and how a command line finds its own.
#pragma once

#include <span>
#include <string>

#include "common/base/result.h"
#include "ctl/base/command.h"

namespace egalaxyd::ctl {

inline constexpr std::size_t kAnyNumber = static_cast<std::size_t>(-1);

/// Options that every command takes.
inline constexpr std::string_view kGlobalOptions = "help version socket";

std::span<const Command> commands();

/// The command that `arguments` begin with, the one of most words, or nullptr.
const Command* findCommand(const std::vector<std::string>& arguments);

/// Finds the command, checks number of arguments and options, runs it. Says on `err` what is wrong
/// with the line, near names included, and gives kExitUsage then.
int runCommand(const Invocation& invocation);

/// One line per command, aligned; of `only`, if that is given.
std::string commandList(const Command* only = nullptr);

/// `text` cut at its spaces.
std::vector<std::string> splitWords(std::string_view text);

/// Complains about a command line: "egalaxyctl put: <why>"; gives kExitUsage.
int refuseLine(const Invocation& invocation, std::string_view command, std::string_view why);

/// Likewise about a word that is not among those known; suggests the nearest.
int refuseValue(const Invocation& invocation, std::string_view command, std::string_view value,
                const std::vector<std::string>& known);

/// Prints "egalaxyctl: <message>" and gives the exit code that fits.
int complain(const Invocation& invocation, const Error& error);

}  // namespace egalaxyd::ctl
