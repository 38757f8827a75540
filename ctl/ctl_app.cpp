#include "ctl/ctl_app.h"

#include <Poco/Util/HelpFormatter.h>
#include <Poco/Util/Option.h>
#include <Poco/Util/OptionSet.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <sstream>

#include "common/base/environment.h"
#include "common/base/poco_seam.h"
#include "common/base/spelling.h"
#include "common/base/version.h"
#include "ctl/base/command_table.h"
#include "ctl/base/folded_output.h"

namespace egalaxyd::ctl {

using Poco::Util::Option;

namespace {

/// no-color.org: any text in NO_COLOR means none.
bool wantsColour() {
  return ::isatty(STDOUT_FILENO) == 1 && environmentVariable("NO_COLOR").empty() &&
         environmentVariable("TERM") != "dumb";
}

/// The standard error: on a terminal its lines are folded, whatever the command.
std::ostream& complaints() {
  static FoldedOutput narrow(std::cerr);
  return ::isatty(STDERR_FILENO) == 1 ? narrow : std::cerr;
}

/// Whether what the command writes is somebody's content, for a program, or to be pasted: no line
/// of it is folded.
bool writesAsItIs(const Invocation& invocation) {
  const Command* command = findCommand(invocation.arguments);
  constexpr std::array<std::string_view, 6> kAsItIs{
      "certificate create", "completion", "get", "put", "token", "uploads diff"};
  const auto format = invocation.options.find("format");
  const bool isForProgram =
      invocation.has("json") || (format != invocation.options.end() && format->second != "text");
  return command == nullptr || invocation.has("content") || isForProgram ||
         std::ranges::find(kAsItIs, command->words) != kAsItIs.end();
}

/// Whether the help of a command tells of this option.
bool takes(const Command& command, const std::string& option) {
  constexpr std::array<std::string_view, 13> kWithoutServer{"certificate create",
                                                            "certificate show",
                                                            "certificate sync",
                                                            "completion",
                                                            "get",
                                                            "help",
                                                            "identity create",
                                                            "identity show",
                                                            "put",
                                                            "storage copy",
                                                            "token"};
  const auto own = splitWords(command.options);
  if (std::ranges::find(own, option) != own.end()) return true;
  return option == "socket" &&
         std::ranges::find(kWithoutServer, command.words) == kWithoutServer.end();
}

/// `option` as the help of one command tells of it: "stats: text or json" without the name.
Option ownOption(Option option) {
  const std::string text = option.description();
  const auto colon = text.find(": ");
  const auto comma = text.find_first_of(";-0123456789");
  if (colon != std::string::npos && colon < comma) option.description(text.substr(colon + 2));
  return option;
}

}  // namespace

bool CtlApp::readCommandLine(int argc, char** argv) {
  const auto read = guarded("egalaxyctl", [&] { init(argc, argv); });
  if (!read) {
    complaints() << read.error().message << meantOption({argv, argv + argc})
                 << " See egalaxyctl --help.\n";
  }
  return read.ok();
}

/// "; did you mean --verbose?" for the first option that does not exist, or ".".
std::string CtlApp::meantOption(const std::vector<std::string>& words) const {
  std::vector<std::string> known;
  for (const Option& option : options()) known.push_back(option.fullName());
  for (const std::string& word : words) {
    if (!word.starts_with("--")) continue;
    const std::string name = word.substr(2, word.find_first_of("=:") - 2);
    const bool exists =
        std::ranges::any_of(known, [&](const auto& each) { return each.starts_with(name); });
    const auto near = nearNames(name, known);
    if (!exists) return near.empty() ? "." : "; did you mean --" + near.front() + "?";
  }
  return ".";
}

void CtlApp::defineOptions(Poco::Util::OptionSet& options) {
  options.addOption(Option("help", "h", "what there is, or what the command named takes"));
  options.addOption(Option("version", "", "print the version"));
  options.addOption(Option("socket", "", "control socket of the server").argument("PATH"));
  options.addOption(Option("json", "", "print values as JSON"));
  options.addOption(
      Option("bytes", "", "token: random bytes in it, 16 to 256; 32 if not given").argument("N"));
  options.addOption(
      Option("name", "", "token: whose it is, for lists and the log").argument("NAME"));
  options.addOption(Option("dir", "",
                           "certificate create, identity create: folder of the files; the working "
                           "directory if not given")
                        .argument("DIR"));
  options.addOption(Option("format", "", "stats: text, json or prometheus").argument("FORMAT"));
  options.addOption(
      Option("watch", "", "stats: again every SEC seconds; 2 if not given").argument("SEC", false));
  options.addOption(
      Option("limit", "", "users, uploads: most rows, up to 1000; 50 if not given").argument("N"));
  options.addOption(Option("content", "", "uploads show: write what it brought, and no more"));
  options.addOption(Option("current", "", "uploads diff: against what its file holds now"));
  options.addOption(Option("host", "", "uploads: to this host").argument("HOST"));
  options.addOption(Option("path", "", "uploads: to this path, or beneath it").argument("PATH"));
  options.addOption(Option("user", "", "uploads: of this user, or of @NAME").argument("ID"));
  options.addOption(Option("since", "",
                           "uploads: from this time on, 2026-01-31 or 2026-01-31T08:00:00Z, or "
                           "within this span, 2h or 3d")
                        .argument("T"));
  options.addOption(Option("config", "",
                           "certificate sync, content, storage copy: the server's "
                           "configuration; the likely one if not given")
                        .argument("FILE"));
  options.addOption(
      Option("from", "", "storage copy: from there, sqlite:FILE").argument("sqlite:FILE"));
  options.addOption(
      Option("to", "", "storage copy: to there, sqlite:FILE").argument("sqlite:FILE"));
  options.addOption(Option("merge", "", "storage copy: into what other hosts keep there already"));
  options.addOption(Option("head", "", "get, put: print the header of each answer, and no body"));
  options.addOption(
      Option("verbose", "v", "get, put: tell about the connection and its certificate"));
  options.addOption(
      Option("timeout", "", "get, put: give up after SEC seconds without progress; 10 if not given")
          .argument("SEC"));
  options.addOption(Option("cert", "",
                           "get, put: certificate to show to the server, PEM or DER; certificate "
                           "install: the one for HOST, with its chain")
                        .argument("FILE"));
  options.addOption(
      Option("key", "",
             "get, put: its private key; in the file of --cert, or beside it with the "
             "ending .key, if not given")
          .argument("FILE"));
  options.addOption(Option("connect", "",
                           "get, put: connect there, wherever the name of the URL's "
                           "host leads")
                        .argument("ADDR[:PORT]"));
  options.addOption(
      Option("trust", "", "get, put: take a new key of the URL's host, and remember it"));
  options.addOption(Option("mime", "",
                           "put: media type for Titan; what the names of FILE "
                           "and URL tell if not given")
                        .argument("TYPE"));
  options.addOption(Option("token", "",
                           "put: token for Titan; -: a line of the standard "
                           "input; $EGALAXYCTL_TOKEN if not given")
                        .argument("TOKEN"));
  options.addOption(Option("delete", "", "put: delete the page at a titan:// URL"));
}

void CtlApp::handleOption(const std::string& name, const std::string& value) {
  given_[name] = value;
}

int CtlApp::main(const std::vector<std::string>& arguments) {
  if (given_.contains("version")) {
    std::cout << "egalaxyctl " << kVersion << '\n';
    return EXIT_OK;
  }
  const bool isAsked = given_.contains("help");
  const bool asks = !isAsked && !arguments.empty() && arguments.front() == "help";
  if (asks || isAsked) {
    return printHelp({arguments.begin() + (asks ? 1 : 0), arguments.end()});
  }
  Invocation invocation{arguments,    given_,        std::cout,
                        complaints(), wantsColour(), ::isatty(STDOUT_FILENO) == 1};
  const bool folds = invocation.terminal && !writesAsItIs(invocation);
  FoldedOutput narrow(std::cout);
  const int code = runCommand({arguments, given_, folds ? narrow : std::cout, complaints(),
                               invocation.colour, invocation.terminal});
  narrow.flush();
  if (std::cout.flush()) return code;
  complaints() << "egalaxyctl: cannot write to the standard output\n";
  return code == 0 ? kExitIo : code;
}

int CtlApp::printHelp(const std::vector<std::string>& arguments) const {
  const Command* command = findCommand(arguments);
  if (command == nullptr && !arguments.empty()) {
    return runCommand({arguments, {}, std::cout, complaints()});  // which says what there is
  }
  Poco::Util::OptionSet shown;
  for (const Option& option : options()) {
    if (command == nullptr) {
      shown.addOption(option);
    } else if (takes(*command, option.fullName())) {
      shown.addOption(ownOption(option));
    }
  }
  Poco::Util::HelpFormatter formatter(shown);
  formatter.setUnixStyle(true);
  formatter.setAutoIndent();
  formatter.setWidth(80);
  std::ostringstream text;
  formatter.format(text);
  std::cout << (command == nullptr ? "usage: egalaxyctl [OPTIONS] COMMAND ...\n\n"
                                   : "usage: egalaxyctl [OPTIONS]\n")
            << commandList(command)
            << (shown.begin() == shown.end() ? ""  // behind its own, empty usage line
                                             : text.str().substr(text.str().find('\n')));
  return EXIT_OK;
}

}  // namespace egalaxyd::ctl
