// Clients that people use, against the real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;

class RealClients : public testing::Test {
 protected:
  void SetUp() override {
    capsule.page("index.gmi", "# Welcome aboard\n=> second.gmi Next\n");
    // Browsers name the host as people do; any name that leads here is ours.
    capsule.sites("[sites.\"localhost\"]\nroot = \"root\"\naliases = [\"127.0.0.1\"]\n");
  }

  /// Runs a shell command with the request on its standard input.
  Finished pipeRequest(const std::string& command) {
    return runProgram(
        {"/bin/sh", "-c", "printf '%s\\r\\n' '" + capsule.url("/") + "' | " + command},
        capsule.dir().path());
  }
  std::string port() const { return std::to_string(capsule.port()); }

  Capsule capsule;
};

TEST_F(RealClients, OpensslGetsThePage) {
  if (!isInstalled("openssl")) GTEST_SKIP() << "openssl is not installed";
  capsule.start();
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    const Finished result =
        pipeRequest(std::string("openssl s_client -quiet -ign_eof -servername localhost ") +
                    version + " -connect 127.0.0.1:" + port());
    EXPECT_THAT(result.out, HasSubstr("20 text/gemini")) << result.err;
    EXPECT_THAT(result.out, HasSubstr("# Welcome aboard")) << result.err;
  }
}

TEST_F(RealClients, GnutlsGetsThePage) {
  if (!isInstalled("gnutls-cli")) GTEST_SKIP() << "gnutls-cli is not installed";
  capsule.start();
  const Finished result =
      pipeRequest("gnutls-cli --insecure --logfile=/dev/null --sni-hostname localhost -p " +
                  port() + " 127.0.0.1");
  EXPECT_THAT(result.out, HasSubstr("20 text/gemini")) << result.err;
  EXPECT_THAT(result.out, HasSubstr("# Welcome aboard")) << result.err;
}

/// A terminal that a test can type into and look at; its server is the test's own.
class Terminal {
 public:
  Terminal(const TempDir& folder, const std::string& command)
      : folder_(folder), home_(folder.makeDir("home").string()) {
    tmux({"new-session", "-d", "-s", "test", "-x", "100", "-y", "40", command});
  }
  ~Terminal() { tmux({"kill-server"}); }

  void type(const std::vector<std::string>& keys) {
    std::vector<std::string> arguments = {"send-keys", "-t", "test"};
    arguments.insert(arguments.end(), keys.begin(), keys.end());
    tmux(arguments);
  }
  std::string screen() { return tmux({"capture-pane", "-p", "-t", "test"}).out; }
  bool waitFor(const std::string& text, std::chrono::milliseconds patience = kPatience) {
    return eventually([&] { return screen().find(text) != std::string::npos; }, patience);
  }

 private:
  Finished tmux(std::vector<std::string> arguments) {
    const std::vector<std::string> start = {"tmux", "-f", "/dev/null", "-S",
                                            (folder_ / "tmux").string()};
    arguments.insert(arguments.begin(), start.begin(), start.end());
    return runProgram(arguments, folder_.path(),
                      {{"HOME", home_},
                       {"TERM", "xterm"},
                       {"LC_ALL", "C.UTF-8"},
                       {"TMUX", ""},
                       {"XDG_CONFIG_HOME", home_ + "/config"},
                       {"XDG_CACHE_HOME", home_ + "/cache"},
                       {"XDG_DATA_HOME", home_ + "/data"}});
  }

  const TempDir& folder_;
  std::string home_;
};

TEST_F(RealClients, AmforaShowsThePage) {
  if (!isInstalled("amfora") || !isInstalled("tmux")) GTEST_SKIP() << "amfora or tmux is missing";
  capsule.start();
  Terminal terminal(capsule.dir(), "amfora " + capsule.url("/"));
  EXPECT_TRUE(terminal.waitFor("Welcome aboard")) << terminal.screen() << capsule.log();
}

TEST_F(RealClients, BombadilloShowsThePage) {
  if (!isInstalled("bombadillo") || !isInstalled("tmux")) {
    GTEST_SKIP() << "bombadillo or tmux is missing";
  }
  capsule.start();
  Terminal terminal(capsule.dir(), "bombadillo " + capsule.url("/"));
  // It sometimes draws before it knows its terminal's size, and shows nothing until it reloads.
  bool shown = false;
  for (int i = 0; i < 5 && !shown; ++i) {
    shown = terminal.waitFor("Welcome aboard", std::chrono::seconds(5));
    if (!shown) terminal.type({"R"});
  }
  EXPECT_TRUE(shown) << terminal.screen() << capsule.log();
}

}  // namespace
}  // namespace egalaxyd
