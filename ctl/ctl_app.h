// egalaxyctl as an application: options in, one command run, exit code out.
#pragma once

#include <Poco/Util/Application.h>

#include <map>
#include <string>
#include <vector>

namespace egalaxyd::ctl {

class CtlApp : public Poco::Util::Application {
 public:
  /// Reads the command line. Complains on the standard error; false: exit with kExitUsage.
  bool readCommandLine(int argc, char** argv);

 protected:
  void defineOptions(Poco::Util::OptionSet& options) override;
  void handleOption(const std::string& name, const std::string& value) override;
  int main(const std::vector<std::string>& arguments) override;

 private:
  std::string meantOption(const std::vector<std::string>& words) const;
  /// Gives the exit code.
  int printHelp(const std::vector<std::string>& arguments) const;

  std::map<std::string, std::string> given_;
};

}  // namespace egalaxyd::ctl
