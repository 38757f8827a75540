#include "worker/module/cgi_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/shared/script_names.h"
#include "tests/support/captured_log.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/worker/dynamic/fake_launcher.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::Not;

class CgiSiteTest : public testing::Test {
 protected:
  CgiSiteTest() {
    args_.root = dir_.makeDir("root");
    script("env");
    dir_.makeDir(std::string("state/") + kSpoolFolder);
    Config config;
    config.server.stateDir = dir_ / "state";
    std::vector<UniqueFd> channels;
    channels.push_back(launcher_.connect());
    programs_.emplace(harness_.loop(), harness_.shared(), 0, config, 7, std::move(channels));
    services_.emplace(Services{harness_.loop(), harness_.services().tasks, harness_.pool(),
                               harness_.services().users, harness_.services().uploads, *programs_,
                               harness_.services().info});
  }
  ~CgiSiteTest() override {
    response_.reset();
    launcher_.close();
    harness_.turnUntil([&] { return harness_.services().tasks.running() == 0; });
  }

  void script(const std::string& name) {
    const auto file = dir_.write("root/" + name, "#!/bin/sh\n");
    ASSERT_EQ(::chmod(file.c_str(), 0755), 0);
  }
  static Request get(std::string path) {
    Request request = requestFor(std::move(path), "/cgi-bin");
    request.url = "gemini://example.org" + request.path;
    return request;
  }
  /// Of `bytes`, which come at once.
  Request put(std::string path, std::string bytes) {
    Request request = get(std::move(path));
    request.protocol = Protocol::kTitan;
    request.upload = UploadLine{};
    request.upload->size = bytes.size();
    body_ = std::make_shared<RequestBody>(
        bytes.size(), [this, bytes]() mutable { body_->give(std::exchange(bytes, "")); });
    request.body = body_;
    return request;
  }
  void ask(Request request) {
    request.cancellation = cancellation_;
    site_.emplace(args_, 3, 0);
    site_->handle(std::move(request), Responder([this](std::optional<Response> response) {
                    answered_ = true;
                    response_ = std::move(response);
                  }),
                  *services_);
  }
  /// What the launcher is asked for it.
  RunScript run(Request request) {
    ask(std::move(request));
    turn();
    auto order = launcher_.asked<RunScript>();
    EXPECT_TRUE(order);
    return order.value_or(RunScript());
  }
  /// What may take turns of the pool comes before that.
  void turn() {
    harness_.turnUntil(
        [&] { return answered_ || harness_.shared().total(Gauge::kScriptsQueued) > 0; });
  }
  std::string header() {
    harness_.turnUntil([&] { return answered_; });
    return !response_ ? "none"
                      : std::to_string(static_cast<int>(response_->status)) + " " + response_->meta;
  }
  static std::string variable(const RunScript& order, std::string_view name) {
    for (const auto& [place, value] : order.variables) {
      if (kScriptVariables[place] == name) return value;
    }
    return "unset";
  }
  bool spoolIsEmpty() const {
    return std::filesystem::is_empty(dir_.path() / "state" / kSpoolFolder);
  }

  TempDir dir_;
  CapturedLog log_;
  CgiArgs args_;
  FakeLauncher launcher_;
  std::shared_ptr<RequestBody> body_;
  SiteHarness harness_;
  std::optional<Programs> programs_;
  std::optional<Services> services_;
  std::optional<CgiSite> site_;
  std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  bool answered_ = false;
  std::optional<Response> response_;
};

TEST_F(CgiSiteTest, HasTheScriptOfThePathRun) {
  const RunScript order = run(get("/cgi-bin/env/more"));
  EXPECT_EQ(order.mount, 3U);
  EXPECT_EQ(order.script, "env");
  EXPECT_EQ(order.body, "");
  EXPECT_EQ(variable(order, "SCRIPT_NAME"), "/cgi-bin/env");
  EXPECT_EQ(variable(order, "PATH_INFO"), "/more");
  EXPECT_EQ(variable(order, "SCRIPT_FILENAME"), (args_.root / "env").string());
  const auto streams = launcher_.start(order.run);
  writeTo(streams.output, "20 text/plain\r\nhello");
  EXPECT_EQ(header(), "20 text/plain");
  std::array<char, 16> room{};
  EXPECT_EQ(response_->body->pull(room).bytes, "hello");
}

TEST_F(CgiSiteTest, HasOneProgramAnswerForAll) {
  args_.root.clear();
  args_.script = "/usr/bin/thing";
  const RunScript order = run(get("/cgi-bin/any/thing"));
  EXPECT_EQ(order.script, "");
  EXPECT_EQ(variable(order, "SCRIPT_NAME"), "/cgi-bin");
  EXPECT_EQ(variable(order, "PATH_INFO"), "/any/thing");
  EXPECT_EQ(variable(order, "SCRIPT_FILENAME"), "/usr/bin/thing");
}

TEST_F(CgiSiteTest, AsksNobodyForWhatIsNotThere) {
  ask(get("/cgi-bin/none"));
  EXPECT_EQ(header(), "51 Not found");
  EXPECT_EQ(harness_.shared().total(Gauge::kProgramRequests), 0);
}

TEST_F(CgiSiteTest, SendsAFolderToItsSlash) {
  script("folder/index.cgi");
  ask(get("/cgi-bin/folder"));
  EXPECT_THAT(header(), HasSubstr("31 "));
  EXPECT_THAT(header(), HasSubstr("/cgi-bin/folder/"));
}

TEST_F(CgiSiteTest, AnswersWhatTheLauncherRefuses) {
  for (const auto& [why, header_, level] :
       {std::tuple(WhyNot::kFull, "41 The server is busy, try again", "warning"),
        std::tuple(WhyNot::kGone, "51 Not found", "info"),
        std::tuple(WhyNot::kCannotRun, "42 The application cannot be run", "error"),
        std::tuple(WhyNot::kNoResource, "41 The server is busy, try again", "error")}) {
    answered_ = false;
    const RunScript order = run(get("/cgi-bin/env"));
    launcher_.say(NotStarted{order.run, why, "so it is"});
    EXPECT_EQ(header(), header_);
    EXPECT_THAT(log_.text(), HasSubstr(std::string(level) + ": cgi \"/cgi-bin/env\": so it is"));
  }
  EXPECT_EQ(harness_.shared().total(Counter::kScriptsRefused), 4U);
}

TEST_F(CgiSiteTest, IsBusyWithoutALauncher) {
  programs_->connect(0, {});
  ask(get("/cgi-bin/env"));
  EXPECT_EQ(header(), "41 The server is busy, try again");
}

TEST_F(CgiSiteTest, StopsWhatNobodyWaitsForAnyMore) {
  const RunScript order = run(get("/cgi-bin/env"));
  cancellation_->request();
  EXPECT_EQ(launcher_.asked<StopScript>(), StopScript{order.run});
  EXPECT_EQ(header(), "none");
  EXPECT_EQ(harness_.shared().total(Gauge::kProgramRequests), 0);
}

TEST_F(CgiSiteTest, WarnsOfNothingWhereTheLauncherIsFasterThanTheEnd) {
  const RunScript order = run(get("/cgi-bin/env"));
  cancellation_->request();
  launcher_.say(NotStarted{order.run, WhyNot::kTooLong, "stopped"});
  EXPECT_EQ(header(), "none");
  EXPECT_THAT(log_.text(), Not(HasSubstr("stopped")));
  EXPECT_EQ(harness_.shared().total(Counter::kScriptsRefused), 0U);
}

TEST_F(CgiSiteTest, AsksForNothingWhereTheClientHasLeftMeanwhile) {
  cancellation_->request();
  ask(get("/cgi-bin/env"));
  EXPECT_EQ(header(), "none");
  EXPECT_FALSE(launcher_.wasAsked());
}

TEST_F(CgiSiteTest, GivesABodyAsAFileThatGoesWhenTheScriptHasIt) {
  args_.upload.emplace();
  args_.upload->rules.anyone = true;
  const RunScript order = run(put("/cgi-bin/env", "body"));
  EXPECT_THAT(order.body, testing::StartsWith("7-1-"));
  EXPECT_EQ(variable(order, "CONTENT_LENGTH"), "4");
  EXPECT_EQ(variable(order, "REQUEST_METHOD"), "POST");
  EXPECT_EQ(dir_.read(std::string("state/") + kSpoolFolder + "/" + order.body), "body");
  cancellation_->request();  // it runs nevertheless
  const auto streams = launcher_.start(order.run);
  harness_.turnUntil([&] { return spoolIsEmpty(); });
  writeTo(streams.output, "20 text/plain\r\n");
  EXPECT_EQ(header(), "20 text/plain");
}

TEST_F(CgiSiteTest, RefusesABodyBeforeItComes) {
  ask(put("/cgi-bin/env", std::string(2000, 'x')));
  EXPECT_EQ(header(), "59 The input is longer than 1 KiB");
  args_.upload.emplace();
  args_.upload->rules.maxSize = 4;
  args_.upload->rules.anyone = true;
  answered_ = false;
  ask(put("/cgi-bin/env", "four and more"));
  EXPECT_THAT(header(), HasSubstr("50 The upload is too large"));
  EXPECT_TRUE(spoolIsEmpty());
}

TEST_F(CgiSiteTest, RunsTheScriptWithTheSuffixForTitan) {
  args_.upload.emplace();
  args_.upload->rules.anyone = true;
  args_.upload->nameSuffix = ",titan";
  script("env,titan");
  EXPECT_EQ(run(put("/cgi-bin/env", "body")).script, "env,titan");
}

}  // namespace
}  // namespace egalaxyd
