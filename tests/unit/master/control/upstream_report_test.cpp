#include "master/control/upstream_report.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "common/shared/shared_state.h"
#include "common/shared/upstream_counts.h"
#include "master/control/managed_master.h"

namespace egalaxyd {
namespace {

using Poco::JSON::Object;

class UpstreamReport : public testing::Test {
 protected:
  UpstreamReport() {
    SiteConfig site;
    site.host = "h.test";
    ProxyArgs proxy;
    proxy.upstream.to = {"127.0.0.1:1966", "unix:/run/capsule.sock"};
    MountConfig mount;
    mount.path = "/old";
    mount.args = proxy;
    site.mounts.push_back(mount);
    generation_.config.sites.push_back(site);
  }

  /// Its slot.
  UpstreamCounts& worker(std::uint64_t generation, std::size_t slot) {
    WorkerStatus worker;
    worker.view.key.generation = generation;
    worker.process.emplace().sharedSlot = slot;
    workers_.push_back(worker);
    return shared_->slot(slot).upstreams[0];
  }

  Object::Ptr row(unsigned index) {
    const MasterView view{
        .serving = 2, .current = generation_, .shared = *shared_, .workers = workers_};
    return describeUpstreams(view).getArray("upstreams")->getObject(index);
  }

  Generation generation_;
  std::unique_ptr<SharedState> shared_ = std::move(SharedState::create()).value();
  std::vector<WorkerStatus> workers_;
};

TEST_F(UpstreamReport, HasARowForEachAddress) {
  worker(2, 0);
  EXPECT_EQ(row(0)->getValue<std::string>("address"), "127.0.0.1:1966");
  EXPECT_EQ(row(1)->getValue<std::string>("address"), "unix:/run/capsule.sock");
  EXPECT_EQ(row(1)->getValue<std::string>("host"), "h.test");
  EXPECT_EQ(row(1)->getValue<std::string>("mount"), "/old");
  EXPECT_EQ(row(1)->getValue<std::string>("state"), "up");
  EXPECT_FALSE(row(1)->has("last_error"));
}

TEST_F(UpstreamReport, AddsUpWhatTheWorkersOfTheGenerationCount) {
  for (const std::size_t slot : {0U, 1U}) {
    UpstreamCounts& counts = worker(2, slot);
    counts.connections = 2;
    counts.answered = 10;
    counts.failed = 1;
  }
  worker(1, 2).answered = 1000;  // it numbers them otherwise
  EXPECT_EQ(row(0)->getValue<int>("connections"), 4);
  EXPECT_EQ(row(0)->getValue<int>("answered"), 20);
  EXPECT_EQ(row(0)->getValue<int>("failed"), 2);
}

TEST_F(UpstreamReport, TellsTheLastErrorAndSinceWhenItIsAside) {
  UpstreamCounts& one = worker(2, 0);
  UpstreamCounts& other = worker(2, 1);
  one.failedAt = 5000;
  one.fault = UpstreamFault::kNoHandshake;
  other.failedAt = 4000;
  other.fault = UpstreamFault::kNoConnection;
  one.asideSince = 5000;
  EXPECT_EQ(row(0)->getValue<std::string>("state"), "aside");
  EXPECT_EQ(row(0)->getValue<int>("since"), 5);
  EXPECT_EQ(row(0)->getValue<std::string>("last_error"), "no TLS handshake");
  EXPECT_EQ(row(0)->getValue<int>("last_error_time"), 5);
  other.answeredAt = 6000;
  EXPECT_EQ(row(0)->getValue<std::string>("state"), "up");
  EXPECT_FALSE(row(0)->has("since"));
}

TEST_F(UpstreamReport, ShowsNothingThatAWorkerMadeUp) {
  UpstreamCounts& liar = worker(2, 0);
  liar.connections = -5;
  liar.failedAt = 1000;
  liar.fault = static_cast<UpstreamFault>(200);
  EXPECT_EQ(row(0)->getValue<int>("connections"), 0);
  EXPECT_FALSE(row(0)->has("last_error"));
}

TEST_F(UpstreamReport, ForgetsAWorkerThatIsGone) {
  UpstreamCounts& counts = worker(2, 0);
  counts.answer();
  counts.fail(UpstreamFault::kNoAnswer);
  counts.setAside(true);
  shared_->workerGone(0);
  EXPECT_EQ(row(0)->getValue<int>("answered"), 0);
  EXPECT_EQ(row(0)->getValue<std::string>("state"), "up");
  EXPECT_FALSE(row(0)->has("last_error"));
}

}  // namespace
}  // namespace egalaxyd
