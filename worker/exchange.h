// One request and its answer: what a connection becomes while it holds a slot.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/config.h"
#include "common/event_loop.h"
#include "common/ip_address.h"
#include "common/shared_state.h"
#include "worker/listener_kind.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/protocol/spartan_parser.h"
#include "worker/request_body.h"
#include "worker/responder.h"
#include "worker/router.h"
#include "worker/site/site.h"
#include "worker/storage_thread.h"
#include "worker/transport.h"

namespace egalaxyd {

/// What every exchange of a worker uses; outlives them all.
struct ExchangeContext {
  const Gate& gate;
  const LimitsConfig& limits;
  AddressMask addressMask;
  WorkerSlot& counters;
  Services& services;
  StorageThread& storage;  ///< for visits
};

/// The connection, as its exchange sees it.
class ExchangeOwner {
 public:
  /// The exchange's only deadline is now `delay` from here; Exchange::onDeadline tells it.
  virtual void setDeadline(Clock::duration delay) = 0;
  /// The handshake is done.
  virtual void established() = 0;
  /// Something moved that the client had to do: it does not stand still.
  virtual void progressed() = 0;
  /// Calls Exchange::respond with the answer, unless the exchange has ended by then.
  virtual Responder makeResponder() = 0;
  /// Calls Exchange::onReady when the socket takes bytes again, which it did not.
  virtual void awaitRoom() = 0;
  /// Calls Exchange::onReady soon, after other connections had their turn.
  virtual void continueLater() = 0;
  /// The exchange has ended; it is destroyed after the current callback. `socket` is open where
  /// closing it now could cost the client its answer, otherwise empty. `bodyMayFollow`: bytes that
  /// the socket has reported may still be in it.
  virtual void ended(UniqueFd socket, bool bodyMayFollow) = 0;

 protected:
  ~ExchangeOwner() = default;
};

/// Bytes in, one request, one response, bytes out. Passive: the owner tells it when the socket is
/// ready and when its deadline has passed. Loop thread only; never waits.
class Exchange {
 public:
  /// `accepted` is when the connection was; durations in the log count from it.
  Exchange(const ExchangeContext& context, ExchangeOwner& owner, ListenerKind listener,
           const IpAddress& client, Clock::time_point accepted,
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

  bool hasEnded() const { return step_ == Step::kEnded; }

 private:
  enum class Step { kHandshake, kRequest, kSite, kResponse, kEnded };

  void continueHandshake();
  void readRequest();
  Clock::duration timeForRequest() const;
  void onRequestLine(RequestLine line, std::string_view behind);
  void ask(Site& site, Request request);
  void readInput(Site& site, Request request, std::string input);
  void announceBody(Request& request, std::string_view behind);
  void onBodyWanted();
  void receiveBody();
  void awaitBody();
  std::optional<Result<std::string>> nextOfBody();
  void failBody(Error error);
  void onBodyDeadline();
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
  const Clock::time_point accepted_;
  std::unique_ptr<Transport> transport_;
  Step step_ = Step::kHandshake;
  std::variant<GeminiParser, SpartanParser> parser_;
  bool requestSeen_ = false;    ///< a whole line, well-formed or not
  bool bodyMayFollow_ = false;  ///< the line announced one, or could not be read
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
    Clock::time_point given;        ///< when the site last had enough
    Clock::time_point windowStart;  ///< of the interval whose rate is looked at
    std::uint64_t windowLeft = 0;   ///< `left` when it began
  };
  std::optional<Incoming> incoming_;
  int status_ = 0;
  std::string meta_;
  bool querySecret_ = false;  ///< no log may show it
  std::string header_;        ///< not yet written
  std::unique_ptr<BodySource> body_;
  bool bodyAwaited_ = false;  ///< the body said kLater
  bool allWritten_ = false;
  std::uint64_t bytesOut_ = 0;
};

}  // namespace egalaxyd
