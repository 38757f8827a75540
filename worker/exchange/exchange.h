// One request and its answer: what a connection becomes while it holds a slot.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "worker/base/listener_kind.h"
#include "worker/base/task.h"
#include "worker/exchange/admission.h"
#include "worker/exchange/exchange_context.h"
#include "worker/exchange/incoming_body.h"
#include "worker/exchange/pace.h"
#include "worker/exchange/request_reader.h"
#include "worker/exchange/response_writer.h"
#include "worker/protocol/header.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// Bytes in, one request, one response, bytes out. Passive: the owner tells it when the socket is
/// ready and when its deadline has passed. Loop thread only; never waits.
class Exchange {
 public:
  /// `accepted` is when the connection was accepted; durations in the log count from it. With a
  /// `wait` the answer is 44, whatever the client asks. `slot` is given back at the end.
  Exchange(const ExchangeContext& context, ExchangeOwner& owner, ListenerKind listener,
           const IpAddress& client, RateWait wait, Clock::time_point accepted, Admission::Slot slot,
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

  /// Gives the slot up because others wait for one. Whose client has said all goes on: what it
  /// wants may be stored already, and no answer of ours may deny that.
  void yield();
  /// How the client keeps up, counting what its kernel has acknowledged by now.
  const Pace& pace(Clock::time_point now);

 private:
  enum class Step { kHandshake, kRequest, kSite, kResponse, kEnded };

  bool shakesHands() const { return listener_ != ListenerKind::kSpartan; }
  bool hasLeft() const;
  void continueHandshake();
  Clock::duration timeForRequest() const;
  void readRequest();
  void onLine(RequestReader::Line line);
  void onMalformed(Malformed malformed, std::string_view behind);
  void onRequestLine(RequestLine line, std::string_view behind);
  std::string_view name() const;
  bool isGranted(const Site& site, const Request& request);
  void refuse(Response response);
  void refuseAtGate(Response response);
  void ask(Site& site, Request request);
  Task<void> readInput(Site& site, Request request);
  bool hasAll() const;
  Response lateAnswer() const;
  void begin(Response response);
  Header encode(Response& response) const;
  void sendResponse();
  void onWritten(ResponseWriter::Outcome outcome);
  void endGently(std::string_view why);
  void skipBody();
  void end(UniqueFd socket, std::string_view why);
  void tellIfLost() const;
  void writeAccessLog(std::string_view why) const;

  const ExchangeContext& context_;
  ExchangeOwner& owner_;
  const ListenerKind listener_;
  const IpAddress client_;
  const RateWait wait_;
  const Clock::time_point accepted_;
  Admission::Slot slot_;
  std::unique_ptr<Transport> transport_;
  Step step_ = Step::kHandshake;
  Pace pace_;
  RequestReader reader_;
  std::unique_ptr<IncomingBody> incoming_;      ///< null: no body is awaited
  std::shared_ptr<Cancellation> cancellation_;  ///< of the site's work
  ResponseWriter writer_;

  Protocol protocol_;
  bool requestSeen_ = false;  ///< a complete line, well-formed or not
  bool refused_ = false;      ///< answered without asking a site
  bool querySecret_ = false;  ///< the query must not be logged
  bool siteKeepsTime_ = false;
  bool firstByteCounted_ = false;
  /// Bytes of the announced body that have not been read; taken from incoming_ at the end, if any.
  BodyLeft skippedBody_ = 0;
  Clock::time_point lineSeen_{};  ///< when the request line was whole
  std::string url_;
  std::string host_;  ///< with path_: Spartan answers are encoded with these
  std::string path_;
  std::string_view tokenName_;  ///< the operator's, of an upload's token
  int status_ = 0;              ///< of the answer, for the log
  std::string meta_;
  std::optional<std::size_t> log_;  ///< that of its site, once that is known
};

}  // namespace egalaxyd
