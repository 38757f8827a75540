#include "tests/support/capsule.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

#include "common/base/limits.h"

namespace egalaxyd {
namespace {

/// What no server may have said when it ends.
constexpr const char* kOffences[] = {"left open",        "AddressSanitizer", "ThreadSanitizer",
                                     "LeakSanitizer",    "runtime error:",   "stack smashing",
                                     "terminate called", "Assertion"};

}  // namespace

Capsule::Capsule() {
  std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
  dir_.makeDir("root");
  set("server.workers", "2");
  set("server.state_dir", "\"state\"");
  set("server.runtime_dir", "\"run\"");
  if (::geteuid() == 0) set("server.user", "\"root\"");  // the folders are the test's
  set("server.drain_timeout", "\"20s\"");
  set("listen.gemini", "[\"127.0.0.1:0\"]");
  set("listen.spartan", "[]");
  set("rate_limit.enabled", "false");
  set("rate_limit.exempt", "[]");  // all tests' clients are local
  set("limits.handshake_timeout", "\"30s\"");
  set("limits.request_timeout", "\"30s\"");
  sites("[sites.\"localhost\"]\nroot = \"root\"\n");
}

Capsule::~Capsule() {
  if (process_ && !stopped_ && !abandoned_) stop();
}

void Capsule::page(std::string_view name, std::string_view text) const {
  dir_.write("root/" + std::string(name), text);
}

std::string Capsule::configText() const {
  std::string text;
  for (const auto& [key, value] : settings_) text += key + " = " + value + "\n";
  return text + "\n" + sites_;
}

void Capsule::writeConfig() const { dir_.write("egalaxyd.toml", configText()); }

void Capsule::start() {
  writeConfig();
  startWith({"--config", configFile().string()}, dir_.path());
}

void Capsule::startWith(const std::vector<std::string>& arguments,
                        const std::filesystem::path& folder,
                        const std::map<std::string, std::string>& environment) {
  for (const char* earlier : {"out", "err", "egalaxyd.log"}) {
    std::filesystem::remove(dir_ / earlier);
  }
  ProcessSetup setup{{programPath("egalaxyd")}, folder, dir_ / "out", dir_ / "err", environment};
  setup.arguments.insert(setup.arguments.end(), arguments.begin(), arguments.end());
  process_ = std::make_unique<ChildProcess>(setup);
  stopped_ = false;
  generation_ = 1;
  waitUntilReady();
}

void Capsule::waitUntilReady() {
  const bool ready = eventually([&] {
    if (!process_->running()) return true;
    return logContains("ready") && out().find("://") != std::string::npos;
  });
  if (!ready || !process_->running()) {
    abandon();
    throw std::runtime_error("egalaxyd did not become ready:\n" + out() + log());
  }
  ports_ = portsOf("gemini", kGeminiPort);
  spartanPorts_ = portsOf("spartan", kSpartanPort);
}

std::vector<std::uint16_t> Capsule::portsOf(const std::string& scheme, std::uint16_t usual) const {
  const std::regex url(scheme + R"(://[^/\s]*?(?::(\d+))?/)");
  const std::string text = out();
  std::vector<std::uint16_t> ports;
  for (std::sregex_iterator match(text.begin(), text.end(), url), end; match != end; ++match) {
    const std::string digits = (*match)[1];
    const auto port = digits.empty() ? usual : static_cast<std::uint16_t>(std::stoi(digits));
    if (std::find(ports.begin(), ports.end(), port) == ports.end()) ports.push_back(port);
  }
  return ports;
}

ExitStatus Capsule::stop() {
  stopped_ = true;
  process_->signal(SIGTERM);
  const auto status = process_->wait();
  if (!status) {
    ADD_FAILURE() << "egalaxyd did not leave after SIGTERM:\n" << log();
    return {};
  }
  EXPECT_EQ(status->code, 0) << "signal " << status->signal << "\n" << log();
  expectCleanEnd();
  return *status;
}

void Capsule::expectCleanEnd() {
  EXPECT_FALSE(process_->groupLives()) << "a worker outlived the master:\n" << log();
  const std::string text = log();
  for (const char* offence : kOffences) {
    EXPECT_EQ(text.find(offence), std::string::npos) << "the log speaks of \"" << offence << "\":\n"
                                                     << text;
  }
}

std::string Capsule::url(std::string_view path, std::string_view host) const {
  return "gemini://" + std::string(host) + ":" + std::to_string(port()) + std::string(path);
}

Reply Capsule::get(std::string_view path, const TlsSettings& settings) const {
  return fetch(port(), url(path), settings);
}

Finished Capsule::ctl(std::vector<std::string> words) const {
  words.insert(words.begin(), {programPath("egalaxyctl"), "--socket", controlSocket().string()});
  return runProgram(std::move(words), dir_.path());
}

std::vector<pid_t> Capsule::workerPids() const {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(name[0])) == 0) continue;
    const std::string stat = readAll(entry.path() / "stat");
    const auto afterName = stat.rfind(") ");
    if (afterName == std::string::npos) continue;
    std::istringstream fields(stat.substr(afterName + 2));
    char state = 0;
    pid_t parent = 0;
    fields >> state >> parent;
    const bool isWorker = stat.find(" (egalaxyd-worker) ") != std::string::npos;
    if (isWorker && parent == masterPid() && state != 'Z') pids.push_back(std::stoi(name));
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

void Capsule::killWorker(std::size_t index) const { ::kill(workerPids().at(index), SIGKILL); }

std::string Capsule::log() const { return readAll(dir_ / "err") + readAll(dir_ / "egalaxyd.log"); }

std::string Capsule::out() const { return readAll(dir_ / "out"); }

bool Capsule::logContains(std::string_view text, std::size_t mark) const {
  return log().find(text, mark) != std::string::npos;
}

bool Capsule::waitForLog(std::string_view text, std::size_t mark) const {
  return eventually([&] { return logContains(text, mark); });
}

void Capsule::reload() {
  const std::string generation = "generation " + std::to_string(++generation_);
  const std::size_t mark = logMark();
  process_->signal(SIGHUP);
  if (!waitForLog(generation, mark) || !waitForLog("ready", mark)) {
    throw std::runtime_error("no " + generation + " came:\n" + log());
  }
}

bool noServerOfTheSystemRuns() {
  return ::access("/run/egalaxyd/control.sock", F_OK) != 0 && errno == ENOENT;
}

std::size_t anonymousKib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");  // which needs no right
  constexpr std::string_view kName = "RssAnon:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kName)) return std::stoul(line.substr(kName.size()));
  }
  throw std::runtime_error("no memory of process " + std::to_string(pid));
}

std::chrono::milliseconds cpuTime(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  if (text.empty()) throw std::runtime_error("no process " + std::to_string(pid));
  std::istringstream fields(text.substr(text.rfind(')') + 2));  // behind the name
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  long user = 0;
  long kernel = 0;
  fields >> user >> kernel;
  return std::chrono::milliseconds((user + kernel) * 1000 / ::sysconf(_SC_CLK_TCK));
}

}  // namespace egalaxyd
