#include "ctl/ctl_app.h"

#include <Poco/Util/HelpFormatter.h>
#include <Poco/Util/Option.h>
#include <Poco/Util/OptionSet.h>

#include <iostream>
#include <sstream>

#include "common/poco_seam.h"
#include "common/version.h"
#include "ctl/command_table.h"

namespace egalaxyd {

using Poco::Util::Option;

bool CtlApp::readCommandLine(int argc, char** argv) {
  const auto read = guarded("egalaxyctl", [&] { init(argc, argv); });
  if (!read) std::cerr << read.error().message << "; see egalaxyctl --help\n";
  return read.ok();
}

void CtlApp::defineOptions(Poco::Util::OptionSet& options) {
  options.addOption(Option("help", "h", "what there is, or what the command named takes"));
  options.addOption(Option("version", "", "print the version"));
  options.addOption(Option("socket", "", "control socket of the server").argument("PATH"));
  options.addOption(Option("json", "", "print values as JSON"));
  options.addOption(
      Option("bytes", "", "token: random bytes in it, 16 to 256; 32 if not given").argument("N"));
  options.addOption(Option("dir", "",
                           "certificate create: folder of the files; the working "
                           "directory if not given")
                        .argument("DIR"));
  options.addOption(Option("format", "", "stats: text, json or prometheus").argument("FORMAT"));
  options.addOption(
      Option("watch", "", "stats: again every SEC seconds; 2 if not given").argument("SEC", false));
  options.addOption(
      Option("limit", "", "users, uploads: most rows, up to 1000; 50 if not given").argument("N"));
  options.addOption(Option("host", "", "uploads: to this host").argument("HOST"));
  options.addOption(Option("path", "", "uploads: to this path, or beneath it").argument("PATH"));
  options.addOption(Option("user", "", "uploads: of this user").argument("ID"));
  options.addOption(Option("since", "",
                           "uploads: from this time on, 2026-01-31 or 2026-01-31T08:00:00Z, or "
                           "within this span, 2h or 3d")
                        .argument("T"));
  options.addOption(Option("head", "", "get: print the header of each response, and no body"));
  options.addOption(Option("verbose", "", "get: tell about the connection and its certificate"));
}

void CtlApp::handleOption(const std::string& name, const std::string& value) {
  given_[name] = value;
}

int CtlApp::main(const std::vector<std::string>& arguments) {
  if (given_.count("version") != 0) {
    std::cout << "egalaxyctl " << kVersion << '\n';
    return EXIT_OK;
  }
  if (given_.count("help") != 0) {
    printHelp(arguments);
    return EXIT_OK;
  }
  const int code = runCommand({arguments, given_, std::cout, std::cerr});
  if (std::cout.flush()) return code;
  std::cerr << "egalaxyctl: cannot write to the standard output\n";
  return code == 0 ? kExitIo : code;
}

void CtlApp::printHelp(const std::vector<std::string>& arguments) const {
  Poco::Util::HelpFormatter formatter(options());
  formatter.setUnixStyle(true);
  formatter.setAutoIndent();
  formatter.setWidth(80);
  std::ostringstream text;
  formatter.format(text);
  std::cout << "usage: egalaxyctl [OPTIONS] COMMAND ...\n\n"
            << commandList(findCommand(arguments))
            << text.str().substr(text.str().find('\n'));  // behind its own, empty usage line
}

}  // namespace egalaxyd
