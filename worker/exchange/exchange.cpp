#include "worker/exchange/exchange.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "common/base/path.h"
#include "common/config/people.h"
#include "common/system/log.h"
#include "common/wire/uri.h"
#include "worker/exchange/scratch.h"
#include "worker/protocol/gemini_encoder.h"
#include "worker/protocol/spartan_encoder.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

/// The time over which limits.upload_min_rate is measured.
constexpr auto kUploadWindow = std::chrono::seconds(10);
constexpr std::size_t kLoggedOfRefused = 200;  ///< bytes
/// The longest Spartan data block that is taken as input.
constexpr std::uint64_t kMaxInputBytes = 64 * 1024;

/// The protocol to count under until the request line has been parsed.
Protocol protocolOf(ListenerKind listener) {
  switch (listener) {
    case ListenerKind::kGemini:
      return Protocol::kGemini;
    case ListenerKind::kTitan:
      return Protocol::kTitan;
    case ListenerKind::kSpartan:
      return Protocol::kSpartan;
    case ListenerKind::kStatus:
      break;
  }
  return Protocol::kGemini;
}

Response slowDown(std::chrono::seconds wait) {
  return Response::failure(Status::kSlowDown, std::to_string(wait.count()));
}

/// The beginning of a refused line, which takes at most kLoggedOfRefused bytes in the log.
std::string_view shortened(std::string_view url) {
  std::size_t length = std::min(url.size(), kLoggedOfRefused);
  const auto quoted = [&] { return logQuote(url.substr(0, length)).size(); };
  for (std::size_t size = quoted(); size > kLoggedOfRefused; size = quoted()) {
    length = length * kLoggedOfRefused / size;
  }
  // No UTF-8 character is cut in two.
  while (length < url.size() && length > 0 &&
         (static_cast<unsigned char>(url[length]) & 0xc0) == 0x80)
    --length;
  return url.substr(0, length);
}

/// Bytes of an announced body that did not come with the request line.
std::uint64_t yetToCome(std::uint64_t announced, std::string_view behind) {
  return announced - std::min<std::uint64_t>(announced, behind.size());
}

/// For the log, which must not show the query.
std::string withoutQuery(const std::string& url) {
  const auto mark = url.find('?');
  return mark == std::string::npos ? url : url.substr(0, mark) + "?…";
}

}  // namespace

Exchange::Exchange(const ExchangeContext& context, ExchangeOwner& owner, ListenerKind listener,
                   const IpAddress& client, RateWait wait, Clock::time_point accepted,
                   Admission::Slot slot, std::unique_ptr<Transport> transport)
    : context_(context),
      owner_(owner),
      listener_(listener),
      client_(client),
      wait_(wait),
      accepted_(accepted),
      slot_(std::move(slot)),
      transport_(std::move(transport)),
      reader_(listener),
      writer_(context, owner, pace_),
      protocol_(protocolOf(listener)) {}

Exchange::~Exchange() {
  if (cancellation_) cancellation_->request();
  if (!incoming_) return;
  try {
    incoming_->end({ErrorCode::kIo, "the client left"});
  } catch (const std::exception& e) {  // thrown by the site, whose read ends
    spdlog::error("a site threw when the body of its request ended: {}", e.what());
  }
}

void Exchange::start() {
  pace_.await(Clock::now());
  owner_.setDeadline(context_.limits.handshakeTimeout);
  continueHandshake();
}

void Exchange::onReady() {
  switch (step_) {
    case Step::kHandshake:
      return continueHandshake();
    case Step::kRequest:
      return readRequest();
    case Step::kResponse:
      if (writer_.awaitsBody() && hasLeft()) return end(UniqueFd(), "client left");
      return sendResponse();
    case Step::kSite:
      if (incoming_) incoming_->receive();
      if (step_ == Step::kSite && hasLeft()) end(UniqueFd(), "client left");
      return;
    case Step::kEnded:
      return;
  }
}

/// Whether the connection is gone in both directions. A client that only ends its side still wants
/// the answer.
bool Exchange::hasLeft() const {
  pollfd socket{transport_->fd(), 0, 0};
  return ::poll(&socket, 1, 0) == 1 && (socket.revents & (POLLERR | POLLHUP)) != 0;
}

void Exchange::onDeadline() {
  if (step_ == Step::kSite && incoming_ && incoming_->isWanted()) return incoming_->onDeadline();
  if (step_ == Step::kResponse && !writer_.awaitsBody()) {
    return onWritten(writer_.onDeadline(*transport_));
  }
  if (step_ == Step::kSite && siteKeepsTime_) return;
  if (step_ == Step::kResponse && writer_.bodyKeepsTime()) return;
  context_.counters.add(Counter::kTimeouts);
  if (step_ == Step::kSite) {
    spdlog::error("a site took too long to answer \"{}\"", logQuote(url_));
    return begin(lateAnswer());
  }
  if (step_ != Step::kRequest) return abort("timeout");
  transport_->writeLast({});
  static_cast<void>(transport_->send());
  endGently("timeout");
}

void Exchange::abort(std::string_view why) { end(UniqueFd(), why); }

/// Nothing is awaited of the client any more.
bool Exchange::hasAll() const { return !incoming_ || incoming_->left() == 0; }

/// What was to be stored, or what a site keeps of a user, may be there or come yet.
Response Exchange::lateAnswer() const {
  if (incoming_ && hasAll()) return mayBeStored();
  return Response::failure(Status::kCgiError, transport_->identity()
                                                  ? "No answer in time: look before you try again"
                                                  : "No answer in time");
}

/// During an upload the client can still get an answer; a partial answer must not look complete.
void Exchange::yield() {
  if (step_ != Step::kSite) return abort("others waited");
  if (hasAll()) return;
  begin(Response::failure(Status::kServerUnavailable, "Others wait, and this took too long"));
}

const Pace& Exchange::pace(Clock::time_point now) {
  if (step_ == Step::kResponse) writer_.look(*transport_, now);
  return pace_;
}

void Exchange::continueHandshake() {
  IoResult result{};
  const Clock::duration cpu = context_.cpuMeter.measure([&] { result = transport_->handshake(); });
  if (shakesHands()) owner_.charge(cpu);
  if (transport_->holdsBack()) owner_.awaitRoom();
  if (result.status == IoStatus::kBlocked) return;
  if (result.status != IoStatus::kDone) {
    context_.counters.add(Counter::kHandshakesFailed);
    return end(UniqueFd(), "handshake failed");
  }
  const Clock::time_point now = Clock::now();
  if (shakesHands()) {
    context_.counters.add(Counter::kHandshakes);
    context_.counters.addLatency(protocol_, Span::kHandshake, now - accepted_);
  }
  step_ = Step::kRequest;
  owner_.setDeadline(timeForRequest());
  slot_.established(shakesHands() ? pace_.waited(now) : Clock::duration::zero(), now);
  pace_.begin(std::nullopt, {});
  pace_.await(now);
  readRequest();
}

/// limits.request_timeout counts from the end of the handshake; without TLS, from accept().
Clock::duration Exchange::timeForRequest() const {
  const Clock::duration all = context_.limits.requestTimeout;
  if (shakesHands()) return all;
  return std::max(all - (Clock::now() - accepted_), Clock::duration::zero());
}

void Exchange::readRequest() {
  auto outcome = reader_.read(*transport_, context_.counters);
  if (auto* line = std::get_if<RequestReader::Line>(&outcome)) return onLine(std::move(*line));
  if (std::holds_alternative<RequestReader::Awaited>(outcome)) {
    return acknowledgeNow(transport_->fd());
  }
  if (std::holds_alternative<RequestReader::Left>(outcome)) return end(UniqueFd(), "client left");
  transport_->writeLast({});
  static_cast<void>(transport_->send());
  endGently("client left");
}

void Exchange::onLine(RequestReader::Line line) {
  requestSeen_ = true;
  lineSeen_ = Clock::now();
  if (auto* malformed = std::get_if<Malformed>(&line.line)) {
    return onMalformed(std::move(*malformed), line.behind);
  }
  onRequestLine(std::get<RequestLine>(std::move(line.line)), line.behind);
}

void Exchange::onMalformed(Malformed malformed, std::string_view behind) {
  url_ = withoutQuery(malformed.line);
  skippedBody_.reset();
  if (malformed.announced) skippedBody_ = yetToCome(*malformed.announced, behind);
  refuse(wait_ ? slowDown(*wait_)
               : Response::failure(Status::kBadRequest, std::move(malformed.text)));
}

void Exchange::onRequestLine(RequestLine line, std::string_view behind) {
  // Until the site is known, any query may be a secret.
  url_ = withoutQuery(line.url);
  if (line.uri.scheme == "titan") protocol_ = Protocol::kTitan;
  skippedBody_ = yetToCome(line.upload ? line.upload->size : 0, behind);
  // Whoever has to wait is heard where a token or a certificate may entitle to an upload.
  if (wait_ && !line.upload) return refuse(slowDown(*wait_));
  auto routed = context_.gate.admit(std::move(line), listener_, transport_->serverName(), client_);
  if (auto* refusal = std::get_if<Response>(&routed)) return refuseAtGate(std::move(*refusal));
  auto& [site, request, takes] = std::get<Routed>(routed);
  if (context_.siteLogs != nullptr) {
    if (const std::size_t* log = context_.siteLogs->find(request.host)) log_ = *log;
  }
  request.clientPort = owner_.clientPort();
  request.tls = transport_->tls();
  request.identity = transport_->identity();
  if (request.upload) {
    const bool granted = isGranted(*site, request);
    if (granted && context_.rateLimiter != nullptr) context_.rateLimiter->giveBack(client_);
    if (!granted && wait_) return refuse(slowDown(*wait_));
    if (granted) tokenName_ = site->tokenName(request, request.sitePath());
  }
  if (listener_ == ListenerKind::kSpartan) {
    host_ = request.host;
    path_ = request.path;
  }
  const bool isInput = request.upload && takes == AcceptedBody::kInput;
  if (isInput && request.upload->size > kMaxInputBytes) {
    return refuse(Response::failure(Status::kBadRequest, "The input is longer than 64 KiB"));
  }
  request.users = &context_.services.users;
  request.name = name();
  if (request.identity) {
    context_.storage.recordVisit({.certificate = request.identity->fingerprint,
                                  .key = request.identity->keyFingerprint,
                                  .count = 1,
                                  .claimed = claimedName(request.identity->commonName)});
  }
  step_ = Step::kSite;
  pace_.begin(context_.limits.uploadMinRate, kUploadWindow);
  owner_.setDeadline(context_.timeOfSite());
  if (request.upload && !request.upload->edit) {
    // More bytes than announced: an error in Titan's specification, not mentioned in Spartan's.
    incoming_ = std::make_unique<IncomingBody>(
        context_, owner_, *transport_, pace_, request.upload->size, behind,
        listener_ != ListenerKind::kSpartan, [this] { end(UniqueFd(), "client left"); });
    request.body = incoming_->body();
  }
  if (isInput) return context_.services.tasks.start(readInput(*site, std::move(request)));
  ask(*site, std::move(request));
}

/// The operator's, for the certificate or else for the token.
std::string_view Exchange::name() const {
  const auto identity = transport_->identity();
  if (!identity) return tokenName_;
  const auto known = nameOf(context_.people, identity->fingerprint, identity->keyFingerprint);
  return known.empty() ? tokenName_ : known;
}

/// Whether a token or a certificate that the operator has let in allows the upload. A client that
/// has to wait must not guess tokens faster than one that has not.
bool Exchange::isGranted(const Site& site, const Request& request) {
  const bool guesses = wait_ && !request.upload->token.empty();
  if (guesses && !context_.refusals.mayTryToken(client_)) return false;
  if (site.uploadRight(request, request.sitePath()) == UploadRight::kGranted) return true;
  if (guesses) context_.refusals.tokenWasWrong(client_);
  return false;
}

void Exchange::refuseAtGate(Response response) {
  if (wait_) return refuse(slowDown(*wait_));
  const auto uri = response.status == Status::kProxyRequestRefused ? parseUri(url_) : UriError();
  if (const auto* wanted = std::get_if<Uri>(&uri)) {
    if (!context_.gate.serves(wanted->host)) {
      context_.lost.wantedHost(client_, wanted->host);
    } else if (wanted->port && !context_.gate.servesPort(*wanted->port)) {
      context_.lost.wantedPort(client_, wanted->host, *wanted->port);
    }
  }
  refuse(std::move(response));
}

void Exchange::refuse(Response response) {
  refused_ = true;
  begin(std::move(response));
}

void Exchange::ask(Site& site, Request request) {
  querySecret_ = request.query && site.hidesQuery(request.sitePath());
  if (!querySecret_) url_ = request.url;
  siteKeepsTime_ = site.keepsTime(request.sitePath());
  if (siteKeepsTime_) slot_.setApart();
  cancellation_ = std::make_shared<Cancellation>();
  request.cancellation = cancellation_;
  site.handle(std::move(request), owner_.makeResponder(), context_.services);
  // It may have left together with its request, of which no event tells any more.
  if (step_ == Step::kSite && siteKeepsTime_ && !incoming_ && hasLeft()) {
    end(UniqueFd(), "client left");
  }
}

/// A data block that is input becomes the request's query, as input is in the other protocols.
Task<void> Exchange::readInput(Site& site, Request request) {
  const auto body = request.body;
  std::string input;
  for (;;) {
    const auto bytes = co_await body->read();
    if (!bytes && bytes.error().code == ErrorCode::kIo) co_return;  // this exchange has ended
    if (!bytes) co_return begin(Response::failure(Status::kBadRequest, bytes.error().message));
    if (bytes->empty()) break;
    input += *bytes;
  }
  request.query = percentEncodeSegment(input);
  request.upload.reset();
  request.body.reset();
  ask(site, std::move(request));
}

void Exchange::respond(std::optional<Response> response) {
  if (step_ != Step::kSite) return;
  if (response) return begin(std::move(*response));
  spdlog::error("a site gave no answer to \"{}\"; the client got 42", logQuote(url_));
  begin(Response::failure(Status::kCgiError, "No answer"));
}

void Exchange::begin(Response response) {
  if (cancellation_) cancellation_->request();
  if (incoming_) incoming_->end({ErrorCode::kIo, "the request was answered"});
  Header header = encode(response);
  status_ = header.status;
  meta_ = querySecret_ ? withoutQuery(header.meta) : std::move(header.meta);
  context_.counters.addAnswer(protocol_, status_);
  if (response.status == Status::kSlowDown) context_.counters.add(Counter::kRateLimited);
  const bool hasBody = header.line.front() == '2';
  step_ = Step::kResponse;
  writer_.begin(std::move(header.line), hasBody ? std::move(response.body) : nullptr);
  sendResponse();
}

Header Exchange::encode(Response& response) const {
  if (listener_ == ListenerKind::kSpartan) return encodeSpartanHeader(response, {host_, path_});
  return encodeGeminiHeader(response);
}

void Exchange::sendResponse() {
  const auto outcome = writer_.send(*transport_);
  if (!firstByteCounted_ && writer_.firstByte() != Clock::time_point()) {
    firstByteCounted_ = true;
    context_.counters.addLatency(protocol_, Span::kFirstByte, writer_.firstByte() - lineSeen_);
  }
  onWritten(outcome);
}

void Exchange::onWritten(ResponseWriter::Outcome outcome) {
  switch (outcome) {
    case ResponseWriter::Outcome::kUnderWay:
      return;
    case ResponseWriter::Outcome::kDone:
      context_.counters.addLatency(protocol_, Span::kRequest, Clock::now() - accepted_);
      return endGently("ok");
    case ResponseWriter::Outcome::kClientLeft:
      return end(UniqueFd(), "client left");
    case ResponseWriter::Outcome::kBodyFailed:
      return end(UniqueFd(), "body failed");
    case ResponseWriter::Outcome::kStopped:
    case ResponseWriter::Outcome::kTooSlow:
      context_.counters.add(Counter::kTimeouts);
      return abort(outcome == ResponseWriter::Outcome::kStopped ? "timeout" : "read too slowly");
  }
}

/// Leaves the socket to the owner, since the client has yet to receive what was sent.
void Exchange::endGently(std::string_view why) {
  skipBody();
  end(transport_->releaseSocket(), why);
}

/// Reads and discards an unwanted body, which has mostly arrived by now.
void Exchange::skipBody() {
  if (incoming_) skippedBody_ = incoming_->left();
  std::uint64_t read = 0;
  while (skippedBody_.value_or(0) > 0 && read < kBytesPerTurn) {
    const IoResult result = transport_->read(scratch);
    if (result.status != IoStatus::kDone) return;
    read += result.bytes;
    *skippedBody_ -= std::min<std::uint64_t>(*skippedBody_, result.bytes);
  }
}

void Exchange::end(UniqueFd socket, std::string_view why) {
  step_ = Step::kEnded;
  context_.counters.add(Counter::kBytesOut, writer_.bytesOut());
  writer_.end();
  if (incoming_) incoming_->stop();
  if (requestSeen_) {
    writeAccessLog(why);
  } else {
    tellIfLost();
    spdlog::debug("{} ended before a request: {}", client_.text(context_.addressMask), why);
  }
  owner_.ended(std::move(socket), skippedBody_);
  slot_ = {};
}

/// Of a client that left without a request.
void Exchange::tellIfLost() const {
  const std::string_view host = transport_->serverName();
  if (const auto alert = transport_->refusal(); !alert.empty()) {
    context_.lost.refusedCertificate(client_, host, alert);
  } else if (!host.empty() && !context_.gate.serves(host)) {
    context_.lost.wantedHost(client_, host);
  }
}

void Exchange::writeAccessLog(std::string_view why) const {
  if (refused_ && !context_.refusals.mayLog(client_)) return;
  const auto identity = transport_->identity();
  const std::string client = client_.text(context_.addressMask);
  const AccessRecord record{
      .protocol = nameOf(protocol_),
      .url = refused_ ? shortened(url_) : url_,
      .status = status_,
      .meta = meta_,
      .bytes = writer_.bytesOut(),
      .duration = Clock::now() - accepted_,
      .client = client,
      .user = identity ? std::string_view(identity->fingerprint).substr(0, 16) : "",
      .name = name(),
      .ended = why};
  logAccess(record, log_);
}

}  // namespace egalaxyd
