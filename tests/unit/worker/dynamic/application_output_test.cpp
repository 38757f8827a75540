#include "worker/dynamic/application_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using State = AnswerSource::Piece::State;

class ApplicationOutputTest : public testing::Test {
 protected:
  ApplicationOutputTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours_.reset(ends[0]);
    application_.reset(ends[1]);
  }

  ApplicationOutput& open(ApplicationOutput::Speech speech, SpooledBody body = {}) {
    ApplicationOutput::Connection connection{
        std::move(ours_), ConnectionPlaces::Place(places_), "it", {}};
    connection.keep = [this](UniqueFd left) { kept_ = std::move(left); };
    const bool isScgi = speech == ApplicationOutput::Speech::kScgi;
    ApplicationRequest request("head ", std::move(body), [isScgi](std::string_view bytes) {
      return isScgi ? std::string(bytes) : fastcgiStdin(bytes);
    });
    output_ = std::make_unique<ApplicationOutput>(loop_, pool_, speech, std::move(connection),
                                                  std::move(request));
    return *output_;
  }

  SpooledBody bodyOf(const std::string& content) {
    const auto file = folder_.path() / "body";
    EXPECT_TRUE(writeFile(file, content));
    SpooledBody body({}, "", UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)));
    body.grew(content.size());
    return body;
  }
  static bool writeFile(const std::filesystem::path& file, const std::string& content) {
    const UniqueFd to(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return ::write(to.get(), content.data(), content.size()) ==
           static_cast<ssize_t>(content.size());
  }

  void say(std::string_view bytes) {
    EXPECT_EQ(::send(application_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  /// What the application can read now.
  std::string heard() {
    std::string bytes(256 * 1024, '\0');
    const ssize_t got = ::recv(application_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }
  /// All that it says now, and how it went on.
  std::pair<std::string, State> page() {
    std::string page;
    std::array<char, 64> room;
    for (;;) {
      const auto piece = output_->read(room);
      page.append(room.data(), piece.bytes);
      if (piece.state != State::kBytes) return {page, piece.state};
    }
  }

  static std::string record(char type, std::string_view content) {
    std::string bytes{1, type, 0, 1, 0, static_cast<char>(content.size()), 0, 0};
    return bytes.append(content);
  }
  static std::string endRecord() { return record(3, "\0\0\0\0\0\0\0\0"sv); }

  TempDir folder_;
  EventLoop loop_;
  Lane pool_{loop_, {"test", 1, 4}};
  const std::shared_ptr<ConnectionPlaces> places_ = std::make_shared<ConnectionPlaces>(1);
  UniqueFd ours_;
  UniqueFd application_;
  UniqueFd kept_;
  std::unique_ptr<ApplicationOutput> output_;
};

TEST_F(ApplicationOutputTest, ScgiEndsWithTheConnectionWhosePlaceIsFreeThen) {
  open(ApplicationOutput::Speech::kScgi);
  EXPECT_EQ(heard(), "head ");
  EXPECT_EQ(page(), std::pair(std::string(), State::kLater));
  say("20 text/plain\r\n");
  EXPECT_EQ(page(), std::pair("20 text/plain\r\n"s, State::kLater));
  EXPECT_FALSE(places_->isFree());
  application_.reset();
  EXPECT_EQ(page(), std::pair(std::string(), State::kEnd));
  EXPECT_EQ(output_->howItEnded(), "");
  EXPECT_TRUE(places_->isFree());
  EXPECT_FALSE(kept_);
}

TEST_F(ApplicationOutputTest, ScgiSaysSoWhenTheRequestWasNotRead) {
  open(ApplicationOutput::Speech::kScgi);
  say("20 text/plain\r\n");
  application_.reset();
  EXPECT_EQ(page(), std::pair("20 text/plain\r\n"s, State::kEnd));
  EXPECT_NE(output_->howItEnded(), "");
}

TEST_F(ApplicationOutputTest, ABodyFollowsTheHead) {
  open(ApplicationOutput::Speech::kScgi, bodyOf("body"));
  EXPECT_EQ(heard(), "head body");
}

TEST_F(ApplicationOutputTest, ABodyIsSentAsTheApplicationTakesIt) {
  const std::string content(4U << 20U, 'x');
  open(ApplicationOutput::Speech::kScgi, bodyOf(content));
  std::string got;
  while (got.size() < content.size() + 5) {
    const std::string piece = heard();
    got += piece;
    EXPECT_EQ(page().second, State::kLater);
    if (!piece.empty()) continue;
    loop_.post([this] { loop_.stop(); });  // the pool, or the loop's turn
    loop_.run();
  }
  EXPECT_EQ(got, "head " + content);
}

TEST_F(ApplicationOutputTest, FastcgiLeavesTheConnectionForTheNext) {
  open(ApplicationOutput::Speech::kFastcgi);
  EXPECT_EQ(heard(), "head " + fastcgiStdin(""));
  say(record(6, "20 text/plain\r\n") + record(7, "a word") + record(6, "hello") + endRecord());
  EXPECT_EQ(page(), std::pair("20 text/plain\r\nhello"s, State::kEnd));
  EXPECT_TRUE(kept_);
}

TEST_F(ApplicationOutputTest, FastcgiLeavesNoConnectionOnWhichMoreCame) {
  open(ApplicationOutput::Speech::kFastcgi);
  say(record(6, "20 text/plain\r\n") + endRecord() + record(6, "hello"));
  EXPECT_EQ(page(), std::pair("20 text/plain\r\n"s, State::kEnd));
  EXPECT_FALSE(kept_);
}

TEST_F(ApplicationOutputTest, FastcgiLeavesNoConnectionWhoseBodyIsNotAllSent) {
  open(ApplicationOutput::Speech::kFastcgi, bodyOf(std::string(4U << 20U, 'x')));
  say(record(6, "20 text/plain\r\n") + endRecord());
  EXPECT_EQ(page(), std::pair("20 text/plain\r\n"s, State::kEnd));
  EXPECT_FALSE(kept_);
}

TEST_F(ApplicationOutputTest, FastcgiIsCutWithoutItsEnd) {
  open(ApplicationOutput::Speech::kFastcgi);
  heard();
  EXPECT_TRUE(output_->saidNothing());
  say(record(6, "20 text/plain\r\n"));
  application_.reset();
  EXPECT_EQ(page(), std::pair("20 text/plain\r\n"s, State::kCut));
  EXPECT_FALSE(output_->saidNothing());
  EXPECT_FALSE(kept_);
}

TEST_F(ApplicationOutputTest, FastcgiThatSaysNothingForThePageLetsOthersHaveTheirTurn) {
  open(ApplicationOutput::Speech::kFastcgi);
  heard();
  std::string records;
  for (int i = 0; i < 1000; ++i) records += record(7, "a word ");
  say(records + endRecord());
  std::size_t turns = 0;
  output_->onReady([&] {
    ++turns;
    loop_.stop();
  });
  while (page().second == State::kLater) loop_.run();
  EXPECT_EQ(page().second, State::kEnd);
  EXPECT_GT(turns, 5U);
}

TEST_F(ApplicationOutputTest, FastcgiThatClosesWithoutAByteSaidNothing) {
  open(ApplicationOutput::Speech::kFastcgi);
  heard();
  application_.reset();
  EXPECT_EQ(page().second, State::kCut);
  EXPECT_TRUE(output_->saidNothing());
}

TEST_F(ApplicationOutputTest, FastcgiThatHasNoRoomTellsWhatTheClientGets) {
  open(ApplicationOutput::Speech::kFastcgi);
  say(record(3, "\0\0\0\0\2\0\0\0"sv));
  EXPECT_EQ(page().second, State::kEnd);
  EXPECT_EQ(output_->refusal(), Status::kServerUnavailable);
  EXPECT_FALSE(kept_);
}

}  // namespace
}  // namespace egalaxyd
