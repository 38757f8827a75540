#include "worker/connection/connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/worker/module/site_harness.h"
#include "worker/transport/plain_transport.h"

namespace egalaxyd {
namespace {

using namespace std::chrono_literals;

/// Says one thing, or keeps the responder.
class OneSite final : public Site {
 public:
  void handle(Request request, Responder reply, Services&) override {
    clients.push_back(request.client);
    ports.push_back(request.clientPort);
    if (keeps) {
      kept = std::make_unique<Responder>(std::move(reply));
    } else {
      std::move(reply).send(Response::gemtext("hello\n"));
    }
  }
  std::vector<IpAddress> clients;
  std::vector<std::uint16_t> ports;
  AcceptedBody takes(std::string_view) const override { return taken; }
  bool keeps = false;
  AcceptedBody taken = AcceptedBody::kNothing;
  std::unique_ptr<Responder> kept;
};

/// A keeper of one connection, whose client is the test.
class ConnectionTest : public testing::Test, public ConnectionKeeper {
 protected:
  ConnectionTest() : context_(makeContext()) {}
  ~ConnectionTest() override {
    site_->kept.reset();
    connection_.reset();
  }

  void connect(ListenerKind listener = ListenerKind::kSpartan, bool viaProxy = false) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    client_ = UniqueFd(pair[1]);
    connection_ =
        std::make_unique<Connection>(*this, harness_.loop(), Connection::Id{0, 1},
                                     UniqueFd(pair[0]), listener, kAddress, 50'000, viaProxy);
    ASSERT_TRUE(connection_->start());
  }
  void clientSends(const std::string& bytes) {
    ASSERT_EQ(::send(client_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    turns();
  }
  void clientEnds() {
    ::shutdown(client_.get(), SHUT_WR);
    turns();
  }
  /// What has come to the client; "<end>" where the server's side has ended.
  std::string clientGets() {
    turns();
    std::string all;
    std::array<char, 4096> buffer;
    for (;;) {
      const ssize_t got = ::recv(client_.get(), buffer.data(), buffer.size(), 0);
      if (got == 0) return all + "<end>";
      if (got < 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  /// So many that what is ready, and what that defers, has been done.
  void turns() {
    for (int i = 0; i < 4; ++i) harness_.turn();
  }
  void admit() {
    Admission::Holder* next = admission_.admitNext(0);
    ASSERT_EQ(next, connection_.get());
    next->admitted();
  }
  /// Until the loop's timers have ended it.
  void waitForTheEnd() {
    harness_.turnUntil([&] { return isClosed_; });
  }

  const ExchangeContext& exchangeContext() const override { return context_; }
  std::unique_ptr<Transport> makeTransport(ListenerKind, UniqueFd socket) override {
    if (transportFails_) throw std::bad_alloc();
    return std::make_unique<PlainTransport>(std::move(socket));
  }
  bool isDenied(const IpAddress& client) override { return client == denied_; }
  bool takeAddress(const IpAddress& client) override {
    taken_.push_back(client);
    return true;
  }
  RateVerdict count(const IpAddress&) override { return verdict_; }
  Admission::Slot queueUp(Connection& connection) override {
    return admission_.enqueue(connection, connection.client());
  }
  void charge(const IpAddress&, Clock::duration) override {}
  void closed(Connection&) override {
    isClosed_ = true;
    harness_.loop().defer([this] { connection_.reset(); });
  }
  void complain(std::string) override { ++complaints_; }
  void failed(Connection&, std::string_view) override { ++failures_; }
  Responder makeResponder(Connection&) override {
    return Responder([this](std::optional<Response> response) {
      if (connection_) connection_->respond(std::move(response));
    });
  }

  ExchangeContext makeContext() {
    sites_ = mapOf(site_);
    gate_.emplace(*sites_);
    return {.gate = *gate_,
            .limits = harness_.limits(),
            .people = people_,
            .addressMask = AddressMask::kFull,
            .counters = harness_.shared().slot(0),
            .services = harness_.services(),
            .storage = harness_.storage(),
            .cpuMeter = cpuMeter_,
            .refusals = refusals_,
            .lost = lost_};
  }

  static inline const IpAddress kAddress = *IpAddress::parse("192.0.2.7");
  SiteHarness harness_;
  People people_;
  std::shared_ptr<OneSite> site_ = std::make_shared<OneSite>();
  std::shared_ptr<const SiteMap> sites_;
  std::optional<Gate> gate_;
  CpuMeter cpuMeter_;
  Refusals refusals_{AddressMask::kFull};
  LostClients lost_{AddressMask::kFull};
  ExchangeContext context_;
  int freed_ = 0;
  Admission admission_{{.handshakes = 4, .own = 4, .all = 4}, [this] { ++freed_; }};
  RateVerdict verdict_;
  bool transportFails_ = false;
  std::vector<IpAddress> taken_;
  std::optional<IpAddress> denied_;
  int complaints_ = 0;
  int failures_ = 0;
  bool isClosed_ = false;
  UniqueFd client_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(ConnectionTest, WaitsForItsSlotAndAnswers) {
  connect();
  turns();
  EXPECT_EQ(admission_.waiting(), 0u) << "it has said nothing yet";
  clientSends("h.test / 0\r\n");
  ASSERT_EQ(admission_.waiting(), 1u);
  EXPECT_EQ(clientGets(), "");
  admit();
  EXPECT_EQ(clientGets(), "2 text/gemini\r\nhello\n<end>");
  EXPECT_EQ(admission_.holders(), 0u);
  EXPECT_EQ(freed_, 1);
  EXPECT_FALSE(isClosed_) << "the client may still send";
  clientEnds();
  EXPECT_TRUE(isClosed_);
}

TEST_F(ConnectionTest, WantsNoSlotBeforeAClientHelloIsWhole) {
  connect(ListenerKind::kGemini);
  const std::string hello = std::string("\x16\x03\x01\x00\x50\x01\x00\x00\x4c", 9);
  clientSends(hello);
  EXPECT_EQ(admission_.waiting(), 0u);
  clientSends(std::string(0x50 - 4 - 1, 'x'));
  EXPECT_EQ(admission_.waiting(), 0u);
  clientSends("x");
  EXPECT_EQ(admission_.waiting(), 1u);
}

TEST_F(ConnectionTest, GivesItsPlaceInTheQueueBackWhenTheClientLeaves) {
  connect(ListenerKind::kGemini);
  clientSends("this is no hello");
  ASSERT_EQ(admission_.waiting(), 1u);
  client_.reset();
  turns();
  EXPECT_TRUE(isClosed_);
  EXPECT_EQ(admission_.waiting(), 0u);
  EXPECT_EQ(freed_, 0);
}

TEST_F(ConnectionTest, TellsAClientThatAsksTooOftenHowLongToWait) {
  verdict_.wait = std::chrono::seconds(7);
  connect();
  clientSends("h.test / 0\r\n");
  admit();
  EXPECT_EQ(clientGets(), "4 Too many requests: wait 7 seconds\r\n<end>");
  EXPECT_TRUE(site_->clients.empty());
}

TEST_F(ConnectionTest, ClosesOneThatWasToldOftenEnough) {
  verdict_.close = true;
  connect();
  clientSends("h.test / 0\r\n");
  EXPECT_TRUE(isClosed_);
  EXPECT_EQ(admission_.waiting(), 0u);
}

TEST_F(ConnectionTest, KnowsTheClientsPort) {
  connect();
  clientSends("h.test / 0\r\n");
  admit();
  EXPECT_EQ(site_->ports, std::vector<std::uint16_t>{50'000});
}

TEST_F(ConnectionTest, KnowsTheClientThatAProxyNames) {
  connect(ListenerKind::kSpartan, true);
  clientSends("PROXY TCP4 198.51.100.9 192.0.2.1 1234 300\r\nh.test / 0\r\n");
  ASSERT_EQ(admission_.waiting(), 1u);
  admit();
  ASSERT_EQ(site_->clients.size(), 1u);
  EXPECT_EQ(site_->clients[0], *IpAddress::parse("198.51.100.9"));
  EXPECT_EQ(site_->ports[0], 1234);
  EXPECT_EQ(taken_, site_->clients);
}

TEST_F(ConnectionTest, ClosesTheConnectionOfADeniedClientThatAProxyNames) {
  denied_ = IpAddress::parse("198.51.100.9");
  connect(ListenerKind::kSpartan, true);
  clientSends("PROXY TCP4 198.51.100.9 192.0.2.1 1234 300\r\nh.test / 0\r\n");
  EXPECT_TRUE(isClosed_);
  EXPECT_TRUE(taken_.empty());
  EXPECT_EQ(admission_.waiting(), 0u);
}

TEST_F(ConnectionTest, ClosesAProxysConnectionWithoutAHeader) {
  connect(ListenerKind::kSpartan, true);
  clientSends("h.test / 0\r\n");
  EXPECT_TRUE(isClosed_);
  EXPECT_EQ(complaints_, 1);
}

TEST_F(ConnectionTest, EndsItselfAloneWhenThereIsNoMemory) {
  transportFails_ = true;
  connect();
  clientSends("h.test / 0\r\n");
  admit();
  EXPECT_TRUE(isClosed_);
  EXPECT_EQ(failures_, 1);
  EXPECT_EQ(admission_.holders(), 0u);
}

TEST_F(ConnectionTest, AnswersLateAndOnlyOnce) {
  site_->keeps = true;
  connect();
  clientSends("h.test / 0\r\n");
  admit();
  EXPECT_EQ(admission_.holders(), 1u);
  std::move(*site_->kept).send(Response::gemtext("late\n"));
  EXPECT_EQ(clientGets(), "2 text/gemini\r\nlate\n<end>");
}

TEST_F(ConnectionTest, YieldsWhenOthersWait) {
  site_->keeps = true;
  site_->taken = AcceptedBody::kUploads;
  connect();
  clientSends("h.test / 3\r\nab");
  admit();
  connection_->yield();
  EXPECT_EQ(clientGets(), "5 Others wait, and this took too long\r\n");
  EXPECT_EQ(admission_.holders(), 0u);
}

TEST_F(ConnectionTest, EndsWhenTheClientSaysNothingInTime) {
  harness_.limits().requestTimeout = 1ms;
  connect();
  waitForTheEnd();
  EXPECT_EQ(harness_.shared().total(Counter::kTimeouts), 1u);
}

TEST_F(ConnectionTest, LeavesTheQueueAfterAWhileInWhichNobodyOfItsAddressWasServed) {
  harness_.limits().requestTimeout = 1ms;
  connect();
  clientSends("h.test / 0\r\n");
  waitForTheEnd();
  EXPECT_EQ(admission_.waiting(), 0u);
}

}  // namespace
}  // namespace egalaxyd
