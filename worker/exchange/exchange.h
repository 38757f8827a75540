// One request and its answer: what a connection becomes while it holds a slot.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/config/config.h"
#include "common/loop/event_loop.h"
#include "common/shared/shared_state.h"
#include "common/wire/ip_address.h"
#include "worker/base/listener_kind.h"
#include "worker/base/storage_lane.h"
#include "worker/exchange/pace.h"
#include "worker/exchange/refusals.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/protocol/spartan_parser.h"
#include "worker/route/router.h"
#include "worker/site/request_body.h"
#include "worker/site/responder.h"
#include "worker/site/site.h"
#include "worker/transport/cpu_meter.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// What every exchange of a worker uses; outlives them all.
struct ExchangeContext {
  const Gate& gate;
  const LimitsConfig& limits;
  AddressMask addressMask;
  WorkerSlot& counters;
  Services& services;
  StorageLane& storage;  ///< for visits
  CpuMeter& cpuMeter;
  Refusals& refusals;
};

/// How long a client that asks too often has to wait; nullopt: not at all.
using RateWait = std::optional<std::chrono::seconds>;

/// Bytes; nullopt where the request could not be read: perhaps some, perhaps none.
using BodyLeft = std::optional<std::uint64_t>;

/// The connection, as its exchange sees it.
class ExchangeOwner {
 public:
  /// The exchange's only deadline is now `delay` from here; Exchange::onDeadline tells it.
  virtual void setDeadline(Clock::duration delay) = 0;
  /// A part of the handshake, which may fail yet, has cost so much CPU time.
  virtual void charge(Clock::duration cpu) = 0;
  /// The handshake is done, which took so long; zero where there was none.
  virtual void established(Clock::duration took) = 0;
  /// Calls Exchange::respond with the answer, unless the exchange has ended by then.
  virtual Responder makeResponder() = 0;
  /// Calls Exchange::onReady when the socket takes bytes again, which it did not.
  virtual void awaitRoom() = 0;
  /// Calls Exchange::onReady soon, after other connections had their turn.
  virtual void continueLater() = 0;
  /// The exchange has ended; it is destroyed after the current callback. `socket` is open where
  /// closing it now could cost the client its answer, otherwise empty. `bodyLeft`: bytes of a body
  /// that the client announced and that have not come; some may be in the socket already.
  virtual void ended(UniqueFd socket, BodyLeft bodyLeft) = 0;

 protected:
  ~ExchangeOwner() = default;
};

/// Bytes in, one request, one response, bytes out. Passive: the owner tells it when the socket is
/// ready and when its deadline has passed. Loop thread only; never waits.
class Exchange {
 public:
  /// `accepted` is when the connection was; durations in the log count from it. With a `wait` that
  /// is the answer, whatever the client asks.
  Exchange(const ExchangeContext& context, ExchangeOwner& owner, ListenerKind listener,
           const IpAddress& client, RateWait wait, Clock::time_point accepted,
           std::unique_ptr<Transport> transport);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Starts the first deadline and does what can be done now.
  void start();
  /// The socket became readable, writable or broken.
  void onReady();
  void onDeadline();
  /// The site's answer; nullopt when it dropped its responder.
  void respond(std::optional<Response> response);
  /// Ends at once, without a close_notify. `why` is for the log.
  void abort(std::string_view why);

  /// Gives its place to others that wait.
  void yield();
  /// How the client keeps up, with what its kernel has acknowledged by now.
  const Pace& pace(Clock::time_point now);

 private:
  enum class Step { kHandshake, kRequest, kSite, kResponse, kEnded };

  void continueHandshake();
  void readRequest();
  Clock::duration timeForRequest() const;
  void onRequestLine(RequestLine line, std::string_view behind);
  void refuse(Response response);
  void ask(Site& site, Request request);
  Task<void> readInput(Site& site, Request request);
  void announceBody(Request& request, std::string_view behind);
  void onBodyWanted();
  void receiveBody();
  void restBetweenDrips();
  void wakeFrom(int bytes);
  void awaitBody();
  std::optional<Result<std::string>> nextOfBody();
  void failBody(Error error);
  void onBodyDeadline();
  void onReaderDeadline();
  void lookAtReader(Clock::time_point now);
  void awaitReader(Clock::time_point now);
  void skipBody();
  void begin(Response response);
  void encodeHeader(Response& response);
  void sendResponse();
  bool produce();
  void endGently(std::string_view why);
  void end(UniqueFd socket, std::string_view why);
  void writeAccessLog(std::string_view why) const;

  const ExchangeContext& context_;
  ExchangeOwner& owner_;
  const ListenerKind listener_;
  const IpAddress client_;
  const RateWait wait_;
  const Clock::time_point accepted_;
  std::unique_ptr<Transport> transport_;
  Step step_ = Step::kHandshake;
  std::variant<GeminiParser, SpartanParser> parser_;
  bool requestSeen_ = false;  ///< a whole line, well-formed or not
  bool refused_ = false;      ///< before any site was asked
  /// Of a body that is not incoming_: what the line announced and has not been read.
  BodyLeft skippedBody_ = 0;
  Pace pace_;
  Protocol protocol_;
  Clock::time_point lineSeen_{};  ///< when the request line was whole
  bool answerBegun_ = false;      ///< its first bytes are on their way
  std::string url_;
  std::string host_;  ///< Spartan's answers depend on these
  std::string path_;
  /// What is known of a request body while it is awaited.
  struct Incoming {
    std::shared_ptr<RequestBody> body;
    std::string behind;      ///< bytes that came with the request line
    std::uint64_t left = 0;  ///< of the body, not yet given
    Clock::time_point deadline;
    Clock::time_point given;  ///< when the site last had enough
    int drips = 0;            ///< small reads, one after the other
    /// Until then what drips in gathers in the kernel.
    std::optional<Clock::time_point> restsUntil{};
    int lowWater = 1;  ///< the kernel wakes us for no less
  };
  std::optional<Incoming> incoming_;
  std::shared_ptr<Cancellation> cancellation_;  ///< of what the site does
  int status_ = 0;
  std::string meta_;
  bool querySecret_ = false;  ///< no log may show it
  std::string header_;        ///< not yet written
  std::unique_ptr<BodySource> body_;
  bool bodyAwaited_ = false;  ///< the body said kLater
  bool allWritten_ = false;
  std::uint64_t bytesOut_ = 0;
  std::uint64_t socketTook_ = 0;    ///< of the answer, as it is on the wire
  std::uint64_t acknowledged_ = 0;  ///< of these, when last looked at
  Clock::time_point lastTaken_{};   ///< when that last grew
};

}  // namespace egalaxyd
