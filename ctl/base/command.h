// What a command of egalaxyctl is: a row of the table and a function.
#pragma once

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd::ctl {

/// Exit codes of sysexits.h that commands use, beside 0 and 1.
inline constexpr int kExitUsage = 64;
inline constexpr int kExitData = 65;
inline constexpr int kExitNoInput = 66;
inline constexpr int kExitNoHost = 68;
inline constexpr int kExitUnavailable = 69;
inline constexpr int kExitSoftware = 70;
inline constexpr int kExitCannotCreate = 73;
inline constexpr int kExitIo = 74;
inline constexpr int kExitBusy = 75;
inline constexpr int kExitProtocol = 76;
inline constexpr int kExitPermission = 77;
inline constexpr int kExitConfiguration = 78;
/// Ours, behind those of sysexits.h: a host is not the one that is known.
inline constexpr int kExitStranger = 79;

/// What the command line said, and where answers go. The streams must outlive it.
struct Invocation {
  /// All words that are not options; a command sees those behind its own words.
  std::vector<std::string> arguments;
  /// By long name; "" for a flag.
  std::map<std::string, std::string> options;
  std::ostream& out;
  std::ostream& err;
  bool colour = false;    ///< `out` is a terminal, and NO_COLOR is not set
  bool terminal = false;  ///< `out` is one

  bool has(const std::string& option) const { return options.contains(option); }
};

struct Command {
  std::string_view words;      ///< "certificate create"
  std::string_view arguments;  ///< "HOST... [--dir DIR]", for people
  std::string_view summary;    ///< begins small, no full stop
  std::size_t minArguments;
  std::size_t maxArguments;
  std::string_view options;  ///< long names of those it takes beside the global ones: "dir json"
  int (*run)(const Invocation&);  ///< gives the exit code
};

int backUp(const Invocation& invocation);
int createCertificate(const Invocation& invocation);
int showCertificate(const Invocation& invocation);
int installCertificate(const Invocation& invocation);
int listCertificates(const Invocation& invocation);
int syncCertificates(const Invocation& invocation);
int printToken(const Invocation& invocation);
int getUrl(const Invocation& invocation);
int createIdentity(const Invocation& invocation);
int showIdentity(const Invocation& invocation);
int putFiles(const Invocation& invocation);
int checkConfiguration(const Invocation& invocation);
int showStatus(const Invocation& invocation);
int showStatistics(const Invocation& invocation);
int reloadServer(const Invocation& invocation);
int stopServer(const Invocation& invocation);
int restartWorker(const Invocation& invocation);
int changeLogLevel(const Invocation& invocation);
int listUsers(const Invocation& invocation);
int showUser(const Invocation& invocation);
int forgetUser(const Invocation& invocation);
int listUploads(const Invocation& invocation);
int showUpload(const Invocation& invocation);
int restoreUpload(const Invocation& invocation);
int diffUpload(const Invocation& invocation);
int listLimits(const Invocation& invocation);
int clearLimits(const Invocation& invocation);
int listScripts(const Invocation& invocation);
int stopScript(const Invocation& invocation);
int listUpstreams(const Invocation& invocation);
int listFleet(const Invocation& invocation);
int verifyContentFiles(const Invocation& invocation);
int importContentFolder(const Invocation& invocation);
int copyStorage(const Invocation& invocation);
int printCompletion(const Invocation& invocation);
int showHelp(const Invocation& invocation);

}  // namespace egalaxyd::ctl
