#include "worker/exchange/exchange.h"
#include "worker/dynamic/programs.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <functional>
#include <vector>

#include "tests/support/deadline.h"
#include "tests/support/faulty_storage.h"
#include "tests/support/memory_storage.h"
#include "tests/support/scripted_transport.h"
#include "tests/unit/worker/module/site_harness.h"
#include "worker/base/lane.h"
#include "worker/upload/uploads.h"

namespace egalaxyd {
namespace {

/// Answers as the test says, or keeps the responder for later.
class ScriptedSite final : public Site {
 public:
  void handle(Request request, Responder reply, Services&) override {
    seen.push_back(std::move(request));
    if (answer) {
      std::move(reply).send(std::move(*answer));
    } else if (keep) {
      kept.emplace(std::move(reply));
    }
  }

  AcceptedBody takes(std::string_view) const override { return taken; }
  bool keepsTime(std::string_view) const override { return keepsItsTime; }
  UploadRight uploadRight(const Request& request, std::string_view) const override {
    ++judged;
    return request.upload->token == "right" ? UploadRight::kGranted : open;
  }

  std::string_view tokenName(const Request&, std::string_view) const override { return "bob"; }

  std::vector<Request> seen;
  AcceptedBody taken = AcceptedBody::kNothing;
  UploadRight open = UploadRight::kNone;  ///< of those without the right token
  mutable int judged = 0;
  std::optional<Response> answer;
  bool keep = false;
  bool keepsItsTime = false;
  std::optional<Responder> kept;
};

class CountingLimiter final : public RateLimiter {
 public:
  std::optional<std::chrono::seconds> count(const IpAddress&) override { return std::nullopt; }
  void giveBack(const IpAddress&) override { ++givenBack; }
  int givenBack = 0;
};

/// A body that gives what the test hands it, when it hands it.
class ScriptedBody final : public BodySource {
 public:
  explicit ScriptedBody(std::vector<BodyChunk> chunks) : chunks_(std::move(chunks)) {}
  BodyChunk pull(std::span<char>) override {
    const BodyChunk chunk = chunks_[next_];
    next_ = std::min(next_ + 1, chunks_.size() - 1);
    return chunk;
  }
  bool keepsTime() const override { return keepsItsTime; }
  void becomeReady() { wake(); }

  bool keepsItsTime = false;

 private:
  std::vector<BodyChunk> chunks_;
  std::size_t next_ = 0;
};

class ExchangeTest : public testing::Test, public ExchangeOwner, public Admission::Holder {
 protected:
  ExchangeTest() : shared_(SharedState::create().value()), context_(makeContext(storage_)) {
    client_.sends = {"gemini://h.test/page\r\n"};
  }

  ExchangeContext makeContext(StorageLane& storage) {
    sites_ = mapOf(site_);
    gate_.emplace(*sites_);
    return {.gate = *gate_,
            .limits = limits_,
            .people = people_,
            .addressMask = AddressMask::kFull,
            .counters = shared_->slot(0),
            .services = services_,
            .storage = storage,
            .cpuMeter = cpuMeter_,
            .refusals = refusals_,
            .lost = lost_,
            .rateLimiter = &limiter_};
  }

  void start(ListenerKind listener = ListenerKind::kGemini,
             Clock::time_point accepted = Clock::now()) {
    start(context_, listener, accepted);
  }
  void start(const ExchangeContext& context, ListenerKind listener,
             Clock::time_point accepted = Clock::now()) {
    exchange_ =
        std::make_unique<Exchange>(context, *this, listener, IpAddress(), wait_, accepted,
                                   takeSlot(), std::make_unique<ScriptedTransport>(client_));
    exchange_->start();
  }
  Admission::Slot takeSlot() {
    auto slot = admission_.enqueue(*this, IpAddress());
    EXPECT_EQ(admission_.admitNext(0), this);
    return slot;
  }
  void startSpartan(std::deque<std::string> sends) {
    client_.sends = std::move(sends);
    start(ListenerKind::kSpartan);
  }

  void setDeadline(Clock::duration delay) override { deadlines_.push_back(delay); }
  void charge(Clock::duration cpu) override { charged_.push_back(cpu); }
  Admission::Standing standing(Clock::time_point) override { return {}; }
  void admitted() override {}
  void yield() override {}
  Responder makeResponder() override {
    return Responder([this](std::optional<Response> r) {
      if (exchange_) exchange_->respond(std::move(r));
    });
  }
  void awaitRoom() override { ++roomAwaited_; }
  void continueLater() override { ++continued_; }
  void ended(UniqueFd, BodyLeft bodyLeft) override {
    ++ended_;
    bodyLeft_ = bodyLeft;
  }

  ScriptedClient client_;
  std::shared_ptr<ScriptedSite> site_ = std::make_shared<ScriptedSite>();
  LimitsConfig limits_;
  People people_;
  std::unique_ptr<SharedState> shared_;
  EventLoop loop_;
  Tasks tasks_;
  Lane pool_{loop_, {"files", 0, 0}};
  StorageLane storage_{
      loop_, [](std::size_t) { return Result<std::unique_ptr<Storage>>(makeMemoryStorage()); }};
  Users users_{storage_};
  FolderSync folders_;
  Uploads uploads_{loop_, tasks_, storage_, folders_, shared_->slot(0), AddressMask::kFull, 1, "/"};
  ServerInfo info_{.workerStarted = {}, .shared = *shared_, .limits = limits_};
  Programs programs_{loop_, *shared_, 0, Config(), 1, {}};
  Services services_{loop_, tasks_, pool_, users_, uploads_, programs_, info_};
  std::shared_ptr<const SiteMap> sites_;
  std::optional<Gate> gate_;
  CpuMeter cpuMeter_;
  Refusals refusals_{AddressMask::kFull};
  LostClients lost_{AddressMask::kFull};
  RateWait wait_;
  CountingLimiter limiter_;
  ExchangeContext context_;
  Admission admission_{{.handshakes = 4, .own = 4, .all = 4}};
  std::unique_ptr<Exchange> exchange_;
  std::vector<Clock::duration> deadlines_;
  std::vector<Clock::duration> charged_;  ///< for the handshake
  int continued_ = 0;
  int roomAwaited_ = 0;
  int ended_ = 0;
  BodyLeft bodyLeft_ = 999;  ///< as ended() was told last
};

TEST_F(ExchangeTest, TellsWhatTheHandshakeCostButOnlyWhereThereIsOne) {
  start();
  EXPECT_EQ(charged_.size(), 1u);
  EXPECT_GT(charged_.at(0), Clock::duration::zero());
  startSpartan({"h.test / 0\r\n"});
  EXPECT_EQ(charged_.size(), 1u);
}

TEST_F(ExchangeTest, SendsHeaderBodyAndEnd) {
  site_->answer = Response::gemtext("# Hello\n");
  start();
  EXPECT_EQ(client_.got, "20 text/gemini\r\n# Hello\n");
  EXPECT_TRUE(client_.gotEnd);
  EXPECT_EQ(ended_, 1);
  EXPECT_EQ(bodyLeft_, 0u);
  EXPECT_EQ(shared_->total(Counter::kRequests), 1u);
  EXPECT_EQ(shared_->total(Counter::kStatus2x), 1u);
  EXPECT_EQ(shared_->answers(Protocol::kGemini, 20), 1u);
  for (const Span span : {Span::kHandshake, Span::kFirstByte, Span::kRequest}) {
    EXPECT_EQ(shared_->latencies(Protocol::kGemini, span).count(), 1u);
  }
  EXPECT_EQ(shared_->total(Counter::kBytesOut), client_.got.size());
}

TEST_F(ExchangeTest, HoldsItsSlotUntilItEnds) {
  site_->keep = true;
  start();
  EXPECT_EQ(admission_.holders(), 1u);
  std::move(*site_->kept).send(Response::notFound());
  EXPECT_EQ(ended_, 1);
  EXPECT_EQ(admission_.holders(), 0u);
}

TEST_F(ExchangeTest, TellsTheSiteWhenNobodyWaitsAnyMore) {
  site_->keep = true;
  start();
  const auto cancellation = site_->seen.at(0).cancellation;
  EXPECT_FALSE(cancellation->requested());
  exchange_.reset();
  EXPECT_TRUE(cancellation->requested());
}

/// "" where the site was asked.
class UploadUnderARateLimit : public ExchangeTest {
 protected:
  std::string refusalOf(const std::string& token) {
    client_ = ScriptedClient();
    client_.sends = {"titan://h.test/page;size=3;token=" + token + "\r\nabc"};
    site_->taken = AcceptedBody::kUploads;
    site_->answer = Response::notFound();
    const std::size_t before = site_->seen.size();
    start();
    return site_->seen.size() > before ? "" : client_.got;
  }
};

TEST_F(UploadUnderARateLimit, IsGivenBackWhereItIsGrantedAndNowhereElse) {
  EXPECT_EQ(refusalOf("wrong"), "") << "the site says no";
  site_->open = UploadRight::kOpen;
  EXPECT_EQ(refusalOf("wrong"), "");
  EXPECT_EQ(limiter_.givenBack, 0);
  EXPECT_EQ(refusalOf("right"), "");
  EXPECT_EQ(limiter_.givenBack, 1);
}

TEST_F(UploadUnderARateLimit, IsNamedByItsCertificateOrElseByItsToken) {
  const auto nameOf = [this](const std::string& token, const std::string& certificate) {
    client_ = ScriptedClient();
    client_.sends = {"titan://h.test/page;size=3;token=" + token + "\r\nabc"};
    if (!certificate.empty()) {
      client_.identity = std::make_shared<ClientIdentity>(
          ClientIdentity{.fingerprint = certificate, .keyFingerprint = std::string(64, 'e')});
    }
    site_->taken = AcceptedBody::kUploads;
    site_->answer = Response::notFound();
    start();
    return std::string(site_->seen.back().name);
  };
  const std::string known(64, 'a'), stranger(64, 'b');
  people_ = {{known, "ann"}};
  EXPECT_EQ(nameOf("right", ""), "bob");
  EXPECT_EQ(nameOf("right", stranger), "bob");
  EXPECT_EQ(nameOf("right", known), "ann");
  EXPECT_EQ(nameOf("wrong", known), "ann");
  EXPECT_EQ(nameOf("wrong", stranger), "") << "nor does a wrong token lend a name";
  EXPECT_EQ(nameOf("wrong", ""), "");
}

TEST_F(UploadUnderARateLimit, PassesDuringAPenaltyWhereItIsGranted) {
  wait_ = std::chrono::seconds(17);
  EXPECT_EQ(refusalOf("right"), "");
  EXPECT_EQ(limiter_.givenBack, 1);
  site_->open = UploadRight::kOpen;
  EXPECT_EQ(refusalOf("wrong"), "44 17\r\n") << "anybody may write there";
  EXPECT_EQ(limiter_.givenBack, 1);
}

TEST_F(UploadUnderARateLimit, AllowsNoGuessingOfTokensDuringAPenalty) {
  wait_ = std::chrono::seconds(17);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(refusalOf("wrong"), "44 17\r\n");
  EXPECT_EQ(site_->judged, 1);
  EXPECT_EQ(refusalOf("right"), "44 17\r\n") << "in this second";
  refusals_.tell();
  EXPECT_EQ(refusalOf("right"), "");
}

TEST_F(UploadUnderARateLimit, LearnsOfNoPathAndNoHostDuringAPenalty) {
  wait_ = std::chrono::seconds(17);
  for (const char* line : {"titan://elsewhere.test/;size=3\r\nabc", "titan://h.test/;size=0\r\n",
                           "gemini://h.test/page\r\n"}) {
    client_ = ScriptedClient();
    client_.sends = {line};
    start();
    EXPECT_EQ(client_.got, "44 17\r\n") << line;
  }
  EXPECT_TRUE(site_->seen.empty());
}

TEST_F(ExchangeTest, WhatCameBeyondAnAnnouncedBodyIsNotAwaited) {
  client_.sends = {"titan://h.test/page;size=3\r\nfar too much"};
  site_->taken = AcceptedBody::kUploads;
  site_->answer = Response::failure(Status::kPermanentFailure, "No");
  start();
  EXPECT_EQ(client_.got, "50 No\r\n");
  EXPECT_EQ(bodyLeft_, 0u);
}

TEST_F(ExchangeTest, TellsTheSiteWhoAsksForWhat) {
  client_.serverName = "h.test";
  client_.identity = std::make_shared<const ClientIdentity>(ClientIdentity{.fingerprint = "ab"});
  site_->answer = Response::notFound();
  start();
  ASSERT_EQ(site_->seen.size(), 1u);
  EXPECT_EQ(site_->seen[0].path, "/page");
  EXPECT_EQ(site_->seen[0].identity->fingerprint, "ab");
}

TEST_F(ExchangeTest, CountsAVisitOfAUserWhoShowsTheCertificate) {
  const std::string fingerprint(64, 'a');
  storage_.submit(
      [fingerprint](Storage& storage) {
        return storage.resolveUser(fingerprint, std::string(64, 'b'), WallTime{});
      },
      [&](Result<std::string>) { loop_.stop(); });
  loop_.run();
  client_.identity = std::make_shared<const ClientIdentity>(
      ClientIdentity{.fingerprint = fingerprint, .keyFingerprint = std::string(64, 'b')});
  site_->answer = Response::notFound();
  start();
  // Visits are written behind the jobs of their group: the look comes after another.
  storage_.submit([](Storage&) { return Result<void>(); }, [&](Result<void>) { loop_.stop(); });
  loop_.run();
  std::optional<User> user;
  storage_.submit([fingerprint](Storage& storage) { return storage.showUser(fingerprint); },
                  [&](Result<User> shown) {
                    if (shown) user = *shown;
                    loop_.stop();
                  });
  loop_.run();
  ASSERT_TRUE(user);
  EXPECT_EQ(user->visits, 1u);
}

TEST_F(ExchangeTest, TakesARequestInPieces) {
  client_.sends = {"gemini://h", ".test/", "x\r", "\n"};
  site_->answer = Response::notFound();
  start();
  EXPECT_EQ(client_.got, "51 Not found\r\n");
}

TEST_F(ExchangeTest, AnswersNonsenseWithoutAskingASite) {
  client_.sends = {"Hello Gemini!\r\n"};
  start();
  EXPECT_EQ(client_.got.substr(0, 3), "59 ");
  EXPECT_TRUE(client_.gotEnd);
  EXPECT_EQ(bodyLeft_, std::nullopt);
  EXPECT_TRUE(site_->seen.empty());
}

TEST_F(ExchangeTest, TellsWhoAsksTooOftenToWaitWithoutALookAtTheLine) {
  wait_ = std::chrono::seconds(17);
  for (const char* line : {"gemini://h.test/page\r\n", "Hello Gemini!\r\n",
                           "gemini://elsewhere/\r\n", "titan://h.test/x;size=3\r\nabc"}) {
    client_ = {};
    client_.sends = {line};
    start();
    EXPECT_EQ(client_.got, "44 17\r\n") << line;
    EXPECT_TRUE(client_.gotEnd) << line;
  }
  EXPECT_TRUE(site_->seen.empty());
  EXPECT_EQ(shared_->total(Counter::kRateLimited), 4u);
  startSpartan({"h.test / 0\r\n"});
  EXPECT_EQ(client_.got.back(), '\n');
  EXPECT_EQ(shared_->answers(Protocol::kSpartan, 4), 1u);
}

TEST_F(ExchangeTest, ADroppedResponderBecomes42) {
  start();
  EXPECT_EQ(client_.got.substr(0, 3), "42 ");
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, AnAnswerMayComeLater) {
  site_->keep = true;
  start();
  EXPECT_EQ(client_.got, "");
  std::move(*site_->kept).send(Response::gemtext("late\n"));
  EXPECT_EQ(client_.got, "20 text/gemini\r\nlate\n");
}

TEST_F(ExchangeTest, ASiteThatTakesTooLongBecomes42AndItsAnswerFallsIntoNothing) {
  site_->keep = true;
  start();
  exchange_->onDeadline();
  EXPECT_EQ(client_.got.substr(0, 3), "42 ");
  const std::string before = client_.got;
  std::move(*site_->kept).send(Response::gemtext("too late\n"));
  EXPECT_EQ(client_.got, before);
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, SilenceEndsAtTheDeadlineWithoutAByte) {
  client_.sends = {"gemini://h.test/\n"};
  start();
  EXPECT_EQ(deadlines_.back(), limits_.requestTimeout);
  exchange_->onDeadline();
  EXPECT_EQ(client_.got, "");
  EXPECT_TRUE(client_.gotEnd);
  EXPECT_EQ(ended_, 1);
  EXPECT_EQ(shared_->total(Counter::kTimeouts), 1u);
}

TEST_F(ExchangeTest, AHandshakeThatStallsIsCutAtItsDeadline) {
  client_.shakesHands = false;
  start();
  EXPECT_EQ(deadlines_.back(), limits_.handshakeTimeout);
  exchange_->onDeadline();
  EXPECT_EQ(ended_, 1);
  EXPECT_FALSE(client_.gotEnd);
}

TEST_F(ExchangeTest, AClientThatSendsNoMoreStillGetsItsAnswer) {
  client_.left = true;
  site_->answer = Response::gemtext("x\n");
  start();
  EXPECT_EQ(client_.got, "20 text/gemini\r\nx\n");
}

TEST_F(ExchangeTest, AClientThatLeavesBeforeItsLineEndsIsLetGo) {
  client_.sends = {"gemini://h.te"};
  client_.left = true;
  start();
  EXPECT_EQ(client_.got, "");
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, ASlowReaderGetsTheRestWhenItReads) {
  client_.takes = 5;
  site_->answer = Response::gemtext("content\n");
  start();
  EXPECT_EQ(client_.got, "20 te");
  EXPECT_EQ(ended_, 0);
  EXPECT_EQ(roomAwaited_, 1);
  client_.takes = SIZE_MAX;
  exchange_->onReady();
  EXPECT_EQ(client_.got, "20 text/gemini\r\ncontent\n");
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, AReaderThatStopsIsCutWithoutAnEnd) {
  limits_.writeTimeout = {};
  client_.takes = 5;
  site_->answer = Response::gemtext("content\n");
  start();
  exchange_->onDeadline();
  EXPECT_EQ(ended_, 1);
  EXPECT_FALSE(client_.gotEnd);
}

TEST_F(ExchangeTest, AReaderHasItsTimeSinceItLastTookSomething) {
  client_.takes = 5;
  site_->answer = Response::gemtext("content\n");
  start();
  EXPECT_LE(deadlines_.back(), limits_.writeTimeout);
  exchange_->onDeadline();  // too early
  EXPECT_EQ(ended_, 0);
  EXPECT_GT(deadlines_.back(), limits_.writeTimeout / 2);
}

TEST_F(ExchangeTest, IsAwaitedOnlyWhileTheClientHoldsItUp) {
  client_.sends.clear();
  start();
  EXPECT_TRUE(exchange_->pace(Clock::now()).awaited()) << "its request has not come";
  site_->keep = true;
  client_.sends = {"gemini://h.test/\r\n"};
  exchange_->onReady();
  EXPECT_FALSE(exchange_->pace(Clock::now()).awaited()) << "the site has not answered";
  client_.takes = 5;
  std::move(*site_->kept).send(Response::gemtext("content\n"));
  EXPECT_TRUE(exchange_->pace(Clock::now()).awaited()) << "the answer has not been taken";
}

TEST_F(ExchangeTest, AnUploadThatYieldsIsAnswered) {
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  startSpartan({"h.test /x 5\r\nhel"});
  std::optional<ErrorCode> failed;
  const auto body = site_->seen[0].body;
  body->read([&](Result<std::string> bytes) { EXPECT_TRUE(bytes.ok()); });
  EXPECT_FALSE(exchange_->pace(Clock::now()).awaited());
  body->read([&](Result<std::string> bytes) { failed = bytes.error().code; });
  EXPECT_TRUE(exchange_->pace(Clock::now()).awaited());
  exchange_->yield();
  EXPECT_EQ(failed, ErrorCode::kIo);
  EXPECT_EQ(client_.got, "5 Others wait, and this took too long\r\n");
  EXPECT_EQ(bodyLeft_, 2u);
  std::move(*site_->kept).send(Response::gemtext("too late\n"));
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, AnUploadThatIsWholeDoesNotYield) {
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  startSpartan({"h.test /x 5\r\nhello"});
  site_->seen[0].body->read([&](Result<std::string> bytes) { EXPECT_TRUE(bytes.ok()); });
  exchange_->yield();
  EXPECT_EQ(client_.got, "");
  std::move(*site_->kept).send(Response::gemtext("stored\n"));
  EXPECT_EQ(client_.got, "2 text/gemini\r\nstored\n");
}

TEST_F(ExchangeTest, AnUploadMayWaitForTheDatabaseForLongerThanWriteTimeout) {
  constexpr std::chrono::hours kAway{1};
  limits_.writeTimeout = std::chrono::milliseconds(1);
  std::atomic<int> attempts = 0;
  StorageLane lane(
      loop_,
      [&attempts](std::size_t) {
        auto storage = std::make_unique<FaultyStorage>(makeMemoryStorage(), 0);
        storage->follow([&attempts](FaultyStorage::Moment, const StorageKeys&) {
          return ++attempts < 10 ? std::optional(Error{ErrorCode::kBusy, "away"}) : std::nullopt;
        });
        return Result<std::unique_ptr<Storage>>(std::move(storage));
      },
      {.shared = SharedEngineRules{.patience = kAway, .retryDelay = limits_.writeTimeout}});
  const ExchangeContext context = makeContext(lane);
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  client_.sends = {"h.test /x 5\r\nhello"};
  start(context, ListenerKind::kSpartan);
  site_->seen[0].body->read([&](Result<std::string> bytes) { EXPECT_TRUE(bytes.ok()); });
  EXPECT_EQ(deadlines_.back(), limits_.writeTimeout + kAway);
  lane.submit([](Storage&) { return Result<void>(); },
              [&](Result<void> stored) {
                EXPECT_TRUE(stored);
                std::move(*site_->kept).send(Response::gemtext("stored\n"));
              });
  EXPECT_TRUE(eventually([&] {
    loop_.post([this] { loop_.stop(); });
    loop_.run();
    return ended_ == 1;
  }));
  EXPECT_EQ(client_.got, "2 text/gemini\r\nstored\n");
  exchange_.reset();
}

TEST_F(ExchangeTest, AnUploadThatIsWholeIsNeverSaidNotToBeStored) {
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  startSpartan({"h.test /x 5\r\nhello"});
  site_->seen[0].body->read([&](Result<std::string> bytes) { EXPECT_TRUE(bytes.ok()); });
  exchange_->onDeadline();
  EXPECT_EQ(client_.got, "5 It may have been stored: look before you try again\r\n");
  std::move(*site_->kept).send(Response::gemtext("too late\n"));
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, AnAnswerThatYieldsDoesNotLookWhole) {
  client_.takes = 5;
  site_->answer = Response::gemtext("content\n");
  start();
  exchange_->yield();
  EXPECT_EQ(ended_, 1);
  EXPECT_FALSE(client_.gotEnd);
}

TEST_F(ExchangeTest, ABodyThatIsThereAlreadyIsNotWaitedFor) {
  startSpartan({"h.test / 9\r\nabc", "defghi"});
  EXPECT_EQ(client_.got, "4 Uploads are not enabled here\r\n");
  EXPECT_EQ(bodyLeft_, 0u);
}

TEST_F(ExchangeTest, ABodyThatFailsEndsWithoutAnEnd) {
  using State = BodyChunk::State;
  site_->answer =
      Response::success("text/plain", std::make_unique<ScriptedBody>(std::vector<BodyChunk>{
                                          {State::kMore, "half"}, {State::kFailed, ""}}));
  start();
  EXPECT_EQ(client_.got, "20 text/plain\r\nhalf");
  EXPECT_FALSE(client_.gotEnd);
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, ABodyThatFailsAtOnceLeavesTheHeaderThatTheLogTells) {
  site_->answer = Response::success(
      "text/plain",
      std::make_unique<ScriptedBody>(std::vector<BodyChunk>{{BodyChunk::State::kFailed, ""}}));
  start();
  EXPECT_EQ(client_.got, "20 text/plain\r\n");
  EXPECT_FALSE(client_.gotEnd);
  EXPECT_EQ(ended_, 1);
}

TEST_F(ExchangeTest, ABodyThatIsNotReadyIsPulledAgainAfterItsWake) {
  using State = BodyChunk::State;
  auto body = std::make_unique<ScriptedBody>(
      std::vector<BodyChunk>{{State::kLater, ""}, {State::kEnd, "now"}});
  ScriptedBody* waiting = body.get();
  site_->answer = Response::success("text/plain", std::move(body));
  start();
  EXPECT_EQ(client_.got, "20 text/plain\r\n");
  EXPECT_EQ(continued_, 0);
  waiting->becomeReady();
  EXPECT_EQ(continued_, 1);
  exchange_->onReady();
  EXPECT_EQ(client_.got, "20 text/plain\r\nnow");
  EXPECT_TRUE(client_.gotEnd);
}

TEST_F(ExchangeTest, ALargeBodyLetsOthersHaveTheirTurn) {
  const std::string large(1024 * 1024, 'x');
  site_->answer = Response::success("text/plain", std::make_unique<StringBody>(large));
  start();
  EXPECT_EQ(ended_, 0);
  EXPECT_LT(client_.got.size(), 256u * 1024);
  while (ended_ == 0) {
    ASSERT_EQ(continued_, 1);
    continued_ = 0;
    exchange_->onReady();
  }
  EXPECT_EQ(client_.got, "20 text/plain\r\n" + large);
}

TEST_F(ExchangeTest, ABrokenConnectionEndsWithoutAnAnswer) {
  client_.broken = true;
  start();
  EXPECT_EQ(ended_, 1);
  EXPECT_EQ(shared_->total(Counter::kHandshakesFailed), 1u);
}

TEST_F(ExchangeTest, SpeaksSpartan) {
  site_->answer = Response::gemtext("# Hello\n");
  startSpartan({"H.test /pa", "ge 0\r\n"});
  EXPECT_EQ(client_.got, "2 text/gemini\r\n# Hello\n");
  EXPECT_TRUE(client_.gotEnd);
  ASSERT_EQ(site_->seen.size(), 1u);
  EXPECT_EQ(site_->seen[0].protocol, Protocol::kSpartan);
  EXPECT_EQ(site_->seen[0].path, "/page");
  EXPECT_EQ(site_->seen[0].port, 300);
  EXPECT_EQ(shared_->total(Counter::kStatus2x), 1u);
  EXPECT_EQ(shared_->total(Counter::kHandshakes), 0u) << "there is none";
}

TEST_F(ExchangeTest, SpartansPromptsAndRedirectsDependOnTheRequest) {
  site_->answer = Response{Status::kInput, "Name?", nullptr};
  startSpartan({"h.test /my%20page 0\r\n"});
  EXPECT_EQ(client_.got, "2 text/gemini\r\nName?\n\n=: /my%20page Answer\n");
  client_.got.clear();
  site_->answer = Response::redirect("gemini://h.test/there", false);
  startSpartan({"h.test / 0\r\n"});
  EXPECT_EQ(client_.got, "3 /there\r\n");
}

TEST_F(ExchangeTest, SpartansTimeForARequestBeginsWithTheConnection) {
  client_.sends = {"h.test"};
  start(ListenerKind::kSpartan, Clock::now() - std::chrono::seconds(1));
  EXPECT_GT(deadlines_.back(), Clock::duration::zero());
  EXPECT_LE(deadlines_.back(), limits_.requestTimeout - std::chrono::seconds(1));
}

TEST_F(ExchangeTest, ADataBlockIsTheQueryOfASiteThatTakesInput) {
  site_->taken = AcceptedBody::kInput;
  site_->answer = Response::gemtext("");
  startSpartan({"h.test / 11\r\nhello", " wor", "ld and surplus"});
  ASSERT_EQ(site_->seen.size(), 1u);
  EXPECT_EQ(site_->seen[0].query, "hello%20world");
  EXPECT_FALSE(site_->seen[0].upload);
  EXPECT_EQ(site_->seen[0].body, nullptr);
  EXPECT_EQ(client_.got, "2 text/gemini\r\n");
}

TEST_F(ExchangeTest, ADataBlockIsAnUploadWhereThoseAreTaken) {
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  startSpartan({"h.test /x 5\r\nhello and surplus"});
  ASSERT_EQ(site_->seen.size(), 1u);
  EXPECT_FALSE(site_->seen[0].query);
  EXPECT_EQ(site_->seen[0].upload->size, 5u);
  std::string got;
  site_->seen[0].body->read([&](Result<std::string> bytes) { got = bytes.value(); });
  EXPECT_EQ(got, "hello");
  std::move(*site_->kept).send(Response::redirect("gemini://h.test/x", false));
  EXPECT_EQ(client_.got, "3 /x\r\n");
}

TEST_F(ExchangeTest, ABodyThatDripsIsReadOnceASecond) {
  site_->taken = AcceptedBody::kUploads;
  site_->keep = true;
  startSpartan({"h.test /x 11\r\n"});
  const auto body = site_->seen[0].body;
  std::string got;
  std::function<void(Result<std::string>)> take = [&](Result<std::string> bytes) {
    got += bytes.value();
    if (!bytes->empty()) body->read(take);
  };
  body->read(take);
  for (const char* drip : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
    client_.sends.emplace_back(drip);
    exchange_->onReady();
  }
  EXPECT_EQ(got, "12345678") << "the ninth waits in the socket";
  EXPECT_LE(deadlines_.back(), std::chrono::seconds(1));
  client_.sends.emplace_back("ab");
  exchange_->onDeadline();
  EXPECT_EQ(got, "123456789ab");
  std::move(*site_->kept).send(Response::redirect("gemini://h.test/x", false));
}

TEST_F(ExchangeTest, ADataBlockThatIsNotTakenIsRefusedByItsLength) {
  startSpartan({"h.test / 5\r\n"});
  EXPECT_EQ(client_.got, "4 Uploads are not enabled here\r\n");
  EXPECT_EQ(bodyLeft_, 5u);
  client_.got.clear();
  site_->taken = AcceptedBody::kInput;
  startSpartan({"h.test / 65537\r\n"});
  EXPECT_EQ(client_.got, "4 The input is longer than 64 KiB\r\n");
  EXPECT_TRUE(site_->seen.empty());
}

TEST_F(ExchangeTest, ALineThatIsRefusedMayAnnounceABody) {
  for (const char* line : {"h.test /a?q 500\r\n", "h.test a 500\r\n", "h.test /%zz 500\r\n"}) {
    startSpartan({std::string(line) + "12345"});
    EXPECT_EQ(client_.got[0], '4') << line;
    EXPECT_EQ(bodyLeft_, 495u) << line;
    client_.got.clear();
  }
  startSpartan({"h.test / many\r\n"});
  EXPECT_EQ(bodyLeft_, std::nullopt) << "nobody knows";
}

TEST_F(ExchangeTest, HalfADataBlockReachesNoSite) {
  site_->taken = AcceptedBody::kInput;
  client_.left = true;
  startSpartan({"h.test / 10\r\nhalf"});
  EXPECT_EQ(client_.got, "4 Fewer bytes came than were announced\r\n");
  EXPECT_TRUE(site_->seen.empty());
}

TEST_F(ExchangeTest, AClientMayVanishWithinItsDataBlock) {
  site_->taken = AcceptedBody::kInput;
  startSpartan({"h.test / 10\r\nhalf"});
  EXPECT_EQ(ended_, 0);
  client_.broken = true;
  exchange_->onReady();
  EXPECT_EQ(ended_, 1);
  client_.broken = false;
  startSpartan({"h.test / 10\r\nhalf"});
  exchange_.reset();
  EXPECT_TRUE(site_->seen.empty());
}

TEST_F(ExchangeTest, ASiteThatKeepsItsTimeAnswersWhenItLikes) {
  site_->keep = site_->keepsItsTime = true;
  start();
  EXPECT_EQ(admission_.holders(), 0u) << "it is set apart";
  exchange_->onDeadline();
  EXPECT_EQ(client_.got, "");
  EXPECT_EQ(ended_, 0);
  auto body = std::make_unique<ScriptedBody>(
      std::vector<BodyChunk>{{BodyChunk::State::kMore, "word"}, {BodyChunk::State::kLater, {}}});
  body->keepsItsTime = true;
  std::move(*site_->kept).send(Response::success("text/plain", std::move(body)));
  EXPECT_EQ(client_.got, "20 text/plain\r\nword");
  exchange_->onDeadline();
  EXPECT_EQ(ended_, 0) << "so does its body";
}

TEST_F(ExchangeTest, ABodyThatKeepsNoTimeIsCut) {
  site_->answer = Response::success(
      "text/plain", std::make_unique<ScriptedBody>(std::vector<BodyChunk>{
                        {BodyChunk::State::kMore, "word"}, {BodyChunk::State::kLater, {}}}));
  start();
  exchange_->onDeadline();
  EXPECT_EQ(ended_, 1);
  EXPECT_FALSE(client_.gotEnd);
}

TEST_F(ExchangeTest, AClientThatLeftTogetherWithItsRequestIsNotWaitedFor) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  client_.socket = UniqueFd(ends[0]);
  UniqueFd(ends[1]).reset();
  site_->keep = site_->keepsItsTime = true;
  start();
  EXPECT_EQ(site_->seen.size(), 1u);
  EXPECT_EQ(ended_, 1);
  exchange_.reset();
  EXPECT_TRUE(site_->seen[0].cancellation->requested());
}

}  // namespace
}  // namespace egalaxyd
