#include "master/master_app.h"

#include <Poco/Util/Option.h>
#include <Poco/Util/OptionException.h>
#include <Poco/Util/OptionSet.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <utility>

#include "common/base/spelling.h"
#include "common/base/version.h"
#include "common/config/config_dump.h"
#include "common/config/configuration_files.h"
#include "common/loop/signal_source.h"
#include "common/system/log.h"
#include "common/system/privilege.h"
#include "common/tls/certificate_names.h"
#include "master/master.h"
#include "master/restore_backup.h"
#include "master/supervise/check.h"
#include "master/supervise/effective_config.h"
#include "worker/worker.h"

namespace egalaxyd {
namespace {

/// What follows the dashes in the first argument that looks like it; POCO reports "bogus=3".
std::string unknownOption(const std::string& reported) {
  const std::string name = reported.substr(0, reported.find_first_of(":="));
  std::vector<std::string> known;
  for (const ServerOption& row : serverOptions()) known.emplace_back(row.name);
  const auto near = nearNames(name, known);
  const std::string dashes = name.size() == 1 ? "-" : "--";
  return "unknown option " + dashes + name +
         (near.empty() ? "" : "; did you mean --" + near.front() + "?");
}

void printHelp() {
  std::cout << "usage: egalaxyd [OPTIONS] [DIR]\n\n"
               "Serves the small web: DIR, by default the working directory, as it is, or as the\n"
               "egalaxyd.toml in it says.\n\n";
  for (const ServerOption& row : serverOptions()) {
    const std::string shortForm =
        *row.shortName == '\0' ? "   " : fmt::format("-{},", row.shortName);
    const std::string longForm = fmt::format("{} --{} {}", shortForm, row.name, row.argument);
    std::cout << fmt::format("  {:<24} {}\n", longForm, row.help);
  }
  std::cout << "\nSee egalaxyd(8) and egalaxyd.toml(5).\n";
}

/// Until the log is open, messages go to the terminal of the operator who started the program.
void logToTerminal() {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  spdlog::set_pattern("egalaxyd: %l: %v");
}

void print(const std::vector<std::string>& messages) {
  for (const std::string& message : messages) std::cerr << "egalaxyd: " << message << '\n';
}

/// Names that nobody asked for are left out where others work.
void printUrls(const std::vector<ServedUrl>& urls, bool named) {
  const bool all =
      named || std::ranges::none_of(urls, [](const ServedUrl& url) { return url.trouble.empty(); });
  for (const ServedUrl& url : urls) {
    if (url.trouble.empty()) {
      std::cout << url.url << '\n';
    } else if (all) {
      std::cout << url.url << " (not reached from here: " << url.trouble << ")\n";
    }
  }
}

bool listensEverywhere(const Generation& generation) {
  return std::ranges::any_of(generation.listeners.listeners(), [](const auto& listener) {
    return listener.address.host.empty() && listener.kind == ListenerKind::kGemini;
  });
}

void printCertificates(const std::vector<ServedCertificate>& certificates) {
  constexpr std::size_t kMostTold = 3;
  for (std::size_t i = 0; i < std::min(certificates.size(), kMostTold); ++i) {
    std::cout << "Certificate " << certificates[i].file.string() << ", SHA-256 "
              << certificateFingerprint(certificates[i].leaf) << '\n';
  }
  if (certificates.size() > kMostTold) {
    std::cout << "All " << certificates.size() << " certificates: egalaxyctl certificate list\n";
  }
}

}  // namespace

void restoreCrashSignals() {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGABRT, SIGSYS, SIGFPE}) {
    std::signal(signal, SIG_DFL);
  }
}

int MasterApp::start(int argc, char** argv) {
  std::error_code error;
  line_.workingDir = std::filesystem::current_path(error);
  try {
    init(argc, argv);
  } catch (const Poco::Util::UnknownOptionException& e) {
    return usageError(unknownOption(e.message()));
  } catch (const Poco::Exception& e) {
    return usageError(e.displayText());
  }
  return Poco::Util::ServerApplication::run();
}

void MasterApp::defineOptions(Poco::Util::OptionSet& options) {
  // The base's --daemon and --pidfile act before anything is checked; ours act when all is well.
  Poco::Util::Application::defineOptions(options);
  for (const ServerOption& row : serverOptions()) {
    Poco::Util::Option option(row.name, row.shortName, row.help);
    option.repeatable(row.repeatable);
    if (*row.argument != '\0') option.argument(row.argument);
    options.addOption(option);
  }
}

void MasterApp::handleOption(const std::string& name, const std::string& value) {
  ServerApplication::handleOption(name, value);
  const auto applied = applyOption(line_, name, value);
  if (!applied && usageMistake_.empty()) usageMistake_ = applied.error().message;
}

int MasterApp::main(const std::vector<std::string>& arguments) {
  logToTerminal();
  if (line_.help) {
    printHelp();
    return EXIT_OK;
  }
  if (line_.version) {
    std::cout << "egalaxyd " << kVersion << '\n';
    return EXIT_OK;
  }
  if (!usageMistake_.empty()) return usageError(usageMistake_);
  if (auto applied = applyArguments(line_, arguments); !applied) {
    return usageError(applied.error().message);
  }
  if (auto chosen = chooseConfiguration(line_); !chosen) {
    return usageError(chosen.error().message);
  }
  if (!line_.pidFile.empty()) keepFromSites("the pid file", line_.pidFile);
  if (!line_.restore.empty()) return restore();
  if (line_.check) return check();
  return line_.dump ? dump() : serve();
}

int MasterApp::usageError(const std::string& text) const {
  print({text, "egalaxyd --help lists all options"});
  return EXIT_USAGE;
}

int MasterApp::fail(const Failure& failure) const {
  print(failure.messages);
  return failure.exitCode;
}

LoadedConfig MasterApp::load() const {
  return effectiveConfig(line_, PathEnvironment::ofProcess());
}

int MasterApp::check() const {
  if (const std::string why = line_.as ? whyNotAs(*line_.as) : ""; !why.empty()) {
    return fail({EXIT_NOPERM, {why}});
  }
  const LoadedConfig loaded = load();
  const auto [complaints, warnings] = checkEverything(loaded, line_.as);
  logWarnings(warnings);
  if (!complaints.empty()) return fail({EXIT_CONFIG, failureOf(complaints).messages});
  const std::string file = loaded.config.file.string();
  std::cout << file << (file.empty() ? "" : ": ") << "configuration OK\n";
  for (const auto& included : loaded.config.included) {
    std::cout << included.string() << ": included, OK\n";
  }
  if (line_.configFile.empty()) {
    print({"there is no configuration file in " +
           line_.directory.value_or(line_.workingDir).string() +
           ": the built-in one was checked; --system checks " + kSystemConfiguration});
  }
  return EXIT_OK;
}

int MasterApp::dump() const {
  const LoadedConfig loaded = load();
  if (!loaded.complaints.empty()) {
    return fail({EXIT_CONFIG, failureOf(loaded.complaints).messages});
  }
  std::cout << dumpConfig(loaded.config);
  return EXIT_OK;
}

int MasterApp::restore() {
  // On a new machine there is no configuration yet.
  CommandLine line = line_;
  std::error_code error;
  const bool there = std::filesystem::exists(line_.configFile, error);
  if (!there) line.configFile.clear();
  const LoadedConfig loaded = effectiveConfig(line, PathEnvironment::ofProcess());
  if (!loaded.complaints.empty()) return fail({EXIT_CONFIG, failureOf(loaded.complaints).messages});
  const ServerConfig& server = loaded.config.server;
  const auto workers = workerAccount(server.user, server.group);
  if (!workers) return fail(failureOf(workers.error(), EXIT_CONFIG));
  auto configuration = line_.configFile;
  if (configuration.empty()) {
    configuration = line_.directory.value_or(line_.workingDir) / kFolderConfiguration;
  }
  const auto restored = restoreBackup({.archive = line_.restore,
                                       .server = server,
                                       .workers = *workers,
                                       .configuration = configuration,
                                       .force = line_.force});
  if (!restored) {
    const auto& [code, message] = restored.error();
    if (code == ErrorCode::kExists) return fail({EXIT_CANTCREAT, {message}});
    return fail(failureOf(restored.error(), EXIT_DATAERR));
  }
  for (const std::string& what : *restored) std::cout << what << '\n';
  return EXIT_OK;
}

int MasterApp::serve() {
  holdBack({SIGHUP, SIGUSR1});  // "reload" and "reopen" end no server that is starting
  // Keys will be here, and workers of the same account.
  if (const auto denied = denyTracing(); !denied) {
    return fail(failureOf(denied.error(), EXIT_OSERR));
  }
  if (line_.daemon) {
    auto background = Background::enter();
    if (!background) return fail({EXIT_OSERR, {background.error().message}});
    background_.emplace(std::move(*background));
  }
  const LoadedConfig loaded = load();
  if (!loaded.complaints.empty()) {
    const auto [complaints, warnings] = checkEverything(loaded, std::nullopt);
    logWarnings(warnings);
    return fail(failureOf(complaints));
  }
  Master master({.load = [this] { return load(); },
                 .beforeFork = [this, &loaded] { return beforeFork(loaded.config.log); },
                 .ready = [this](const auto& first, const auto& urls) { onReady(first, urls); },
                 .tryUrls = line_.configFile.empty() || ::isatty(STDOUT_FILENO) == 1});
  if (auto failure = master.prepare(loaded.config)) {
    const std::string shut = whyUnreadable(line_);
    if (!shut.empty()) failure->messages.push_back(shut);
    return fail(*failure);
  }
  for (const std::string& note : startNotes(line_)) spdlog::warn("{}", note);
  if (background_ && loaded.config.log.target == "stderr") {
    print(
        {"--daemon leaves the terminal: nothing is logged unless log.target names a file or the "
         "journal"});
  }
  const int code = master.run();
  closeLog();
  if (code != EXIT_OK && loaded.config.log.target != "stderr") {
    print({"gave up; the log says why: " + loaded.config.log.target});
  }
  return code;
}

Result<void> MasterApp::beforeFork(const LogConfig& log) {
  if (!line_.pidFile.empty()) {
    auto written = PidFile::write(line_.pidFile);
    if (!written) return written.error();
    pidFile_.emplace(std::move(*written));
  }
  if (!background_) return {};
  background_->detach();
  return openLog(log, "master");  // it held the terminal open
}

void MasterApp::onReady(const Generation& first, const std::vector<ServedUrl>& urls) {
  const bool named = !line_.configFile.empty() || !line_.hosts.empty();
  const std::string what = !line_.configFile.empty()
                               ? "the sites of " + line_.configFile.string()
                               : line_.directory.value_or(line_.workingDir).string();
  std::cout << "Serving " << what << " at\n";
  printUrls(urls, named);
  if (!named && listensEverywhere(first)) {
    std::cout << "and by every other name and address of this machine.\n";
  }
  printCertificates(servedCertificates(*first.plan));
  const bool attended = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (attended && !background_) std::cout << "Ctrl-C stops it; again: at once.\n";
  std::cout.flush();
  if (background_) background_->ready();
}

}  // namespace egalaxyd
