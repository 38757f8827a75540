#include "worker/dynamic/programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace egalaxyd {
namespace {

class ProgramsTest : public testing::Test {
 protected:
  using Admitted = std::variant<ProgramPlace, Response>;

  Programs& make(std::uint32_t requests, std::uint32_t perIp, std::size_t slot = 0) {
    Config config;
    config.dynamic.requests = requests;
    config.dynamic.requestsPerIp = perIp;
    config.server.stateDir = "/state";
    programs_.push_back(
        std::make_unique<Programs>(loop_, *shared_, slot, config, 7, std::vector<UniqueFd>()));
    return *programs_.back();
  }
  /// The status of the refusal; 0: it was admitted, and holds its place to the end of the test.
  int admit(Programs& programs, const std::string& client) {
    auto admitted = programs.admit(*IpAddress::parse(client));
    if (const auto* refusal = std::get_if<Response>(&admitted)) {
      meta_ = refusal->meta;
      return static_cast<int>(refusal->status);
    }
    held_.push_back(std::get<ProgramPlace>(std::move(admitted)));
    return 0;
  }

  EventLoop loop_;
  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  std::vector<std::unique_ptr<Programs>> programs_;
  std::vector<ProgramPlace> held_;
  std::string meta_;
};

TEST_F(ProgramsTest, AdmitSoManyRequests) {
  Programs& programs = make(2, 0);
  EXPECT_EQ(admit(programs, "192.0.2.1"), 0);
  EXPECT_EQ(admit(programs, "192.0.2.2"), 0);
  EXPECT_EQ(admit(programs, "192.0.2.3"), 41);
  EXPECT_EQ(meta_, "The server is busy, try again");
  held_.pop_back();
  EXPECT_EQ(admit(programs, "192.0.2.3"), 0);
}

TEST_F(ProgramsTest, AdmitAsManyInAllWorkers) {
  EXPECT_EQ(admit(make(2, 0, 0), "192.0.2.1"), 0);
  EXPECT_EQ(admit(make(2, 0, 1), "192.0.2.2"), 0);
  EXPECT_EQ(admit(*programs_.front(), "192.0.2.3"), 41);
}

TEST_F(ProgramsTest, LeaveAPlaceWhateverAnotherWorkerClaims) {
  Programs& programs = make(4, 0);
  shared_->slot(1).add(Gauge::kProgramRequests, 1000);
  EXPECT_EQ(admit(programs, "192.0.2.1"), 0);
  EXPECT_EQ(admit(programs, "192.0.2.1"), 41);
}

TEST_F(ProgramsTest, AdmitFewOfOneAddress) {
  Programs& programs = make(100, 2);
  EXPECT_EQ(admit(programs, "2001:db8::1"), 0);
  EXPECT_EQ(admit(programs, "2001:db8::2"), 0);
  EXPECT_EQ(admit(programs, "2001:db8::3"), 44);
  EXPECT_EQ(meta_, "5");
  EXPECT_EQ(admit(programs, "2001:db8:0:1::3"), 0);
  held_.erase(held_.begin());
  EXPECT_EQ(admit(programs, "2001:db8::3"), 0);
}

TEST_F(ProgramsTest, NameEachBodyAnew) {
  Programs& programs = make(1, 1);
  const std::string first = programs.newSpoolName();
  EXPECT_THAT(first, testing::MatchesRegex("7-1-[0-9]+"));
  EXPECT_THAT(programs.newSpoolName(), testing::MatchesRegex("7-2-[0-9]+"));
  EXPECT_NE(make(1, 1).newSpoolName(), first) << "nobody can guess it";
  EXPECT_EQ(programs.spoolFolder(), "/state/spool");
}

}  // namespace
}  // namespace egalaxyd
