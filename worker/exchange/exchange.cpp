#include "worker/exchange/exchange.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <utility>

#include "common/base/path.h"
#include "common/system/log.h"
#include "worker/protocol/gemini_encoder.h"
#include "worker/protocol/spartan_encoder.h"
#include "worker/transport/unreceived.h"

namespace egalaxyd {
namespace {

/// What one connection may send before others have their turn.
constexpr std::uint64_t kBytesPerTurn = 128 * 1024;

/// Over which limits.upload_min_rate and limits.download_min_rate are looked at.
constexpr auto kUploadWindow = std::chrono::seconds(10);
constexpr auto kDownloadWindow = std::chrono::seconds(30);
/// A body that comes in so many small reads, one after the other, is read from then on when so much
/// has come that a read is not small, or once a second: each read costs a message to an upload
/// thread and a write.
constexpr std::size_t kDrip = 4096;
constexpr int kDripsInARow = 8;
constexpr auto kDripRest = std::chrono::seconds(1);
constexpr std::size_t kLoggedOfRefused = 200;  ///< bytes
/// Of a data block that is input.
constexpr std::uint64_t kMaxInputBytes = 64 * 1024;

/// Loop thread only, and only within one call: connections without bytes have no buffer.
std::array<char, kLargestChunk> scratch;

/// The protocol to count under until the request line has been parsed.
Protocol protocolOf(ListenerKind listener) {
  switch (listener) {
    case ListenerKind::kGemini:
      return Protocol::kGemini;
    case ListenerKind::kTitan:
      return Protocol::kTitan;
    case ListenerKind::kSpartan:
      return Protocol::kSpartan;
  }
  return Protocol::kGemini;
}

/// A long body looks for room before it goes on: what the socket does not take is held in our
/// memory, for as long as the client does not read. When there is none, the loop reports the
/// change.
bool takesMore(int socket) {
  pollfd ready{socket, POLLOUT, 0};
  return ::poll(&ready, 1, 0) != 0;
}

/// TCP_QUICKACK: the kernel keeps an acknowledgement back for 40 ms, hoping that bytes of ours will
/// carry it. We have none before the client has said more, and a client with Nagle's algorithm
/// (without TCP_NODELAY) says nothing before it has the acknowledgement.
void acknowledgeNow(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

Response slowDown(std::chrono::seconds wait) {
  return Response::failure(Status::kSlowDown, std::to_string(wait.count()));
}

/// A refused line in the log: its beginning, so that it takes no more than kLoggedOfRefused there.
std::string_view shortened(std::string_view url) {
  std::size_t length = std::min(url.size(), kLoggedOfRefused);
  const auto quoted = [&] { return logQuote(url.substr(0, length)).size(); };
  for (std::size_t size = quoted(); size > kLoggedOfRefused; size = quoted()) {
    length = length * kLoggedOfRefused / size;
  }
  // A character is not cut in two.
  while (length < url.size() && length > 0 &&
         (static_cast<unsigned char>(url[length]) & 0xc0) == 0x80)
    --length;
  return url.substr(0, length);
}

/// Of an announced body, what has not come with the request line.
std::uint64_t yetToCome(std::uint64_t announced, std::string_view behind) {
  return announced - std::min<std::uint64_t>(announced, behind.size());
}

/// For the log, where the query must not show.
std::string withoutQuery(const std::string& url) {
  const auto mark = url.find('?');
  return mark == std::string::npos ? url : url.substr(0, mark) + "?…";
}

}  // namespace

Exchange::Exchange(const ExchangeContext& context, ExchangeOwner& owner, ListenerKind listener,
                   const IpAddress& client, RateWait wait, Clock::time_point accepted,
                   std::unique_ptr<Transport> transport)
    : context_(context),
      owner_(owner),
      listener_(listener),
      client_(client),
      wait_(wait),
      accepted_(accepted),
      transport_(std::move(transport)),
      protocol_(protocolOf(listener)) {
  if (listener == ListenerKind::kSpartan) parser_.emplace<SpartanParser>();
}

Exchange::~Exchange() {
  if (cancellation_) cancellation_->request();
  if (!incoming_) return;
  try {
    incoming_->body->end({ErrorCode::kIo, "the client left"});
  } catch (const std::exception& e) {  // of the site, which is told
    spdlog::error("a site could not take the end of a request's body: {}", e.what());
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
      return sendResponse();
    case Step::kSite:
      if (incoming_ && incoming_->body->isWanted()) receiveBody();
      return;
    case Step::kEnded:
      return;
  }
}

void Exchange::onDeadline() {
  if (step_ == Step::kSite && incoming_ && incoming_->body->isWanted()) return onBodyDeadline();
  if (step_ == Step::kResponse && !bodyAwaited_) return onReaderDeadline();
  context_.counters.add(Counter::kTimeouts);
  if (step_ == Step::kSite) {
    spdlog::error("a site took too long to answer \"{}\"; the client got 42", logQuote(url_));
    return begin(Response::failure(Status::kCgiError, "No answer in time"));
  }
  if (step_ != Step::kRequest) return abort("timeout");
  transport_->writeLast({});
  static_cast<void>(transport_->send());
  endGently("timeout");
}

void Exchange::abort(std::string_view why) { end(UniqueFd(), why); }

/// An upload can still be answered, a part of an answer must not look whole.
void Exchange::yield() {
  if (step_ != Step::kSite) return abort("others waited");
  begin(Response::failure(Status::kServerUnavailable, "Others wait, and this took too long"));
}

const Pace& Exchange::pace(Clock::time_point now) {
  if (step_ == Step::kResponse) lookAtReader(now);
  return pace_;
}

void Exchange::continueHandshake() {
  IoResult result{};
  const Clock::duration cpu = context_.cpuMeter.measure([&] { result = transport_->handshake(); });
  if (listener_ != ListenerKind::kSpartan) owner_.charge(cpu);
  if (transport_->holdsBack()) owner_.awaitRoom();
  if (result.status == IoStatus::kBlocked) return;
  if (result.status != IoStatus::kDone) {
    context_.counters.add(Counter::kHandshakesFailed);
    return end(UniqueFd(), "handshake failed");
  }
  if (listener_ != ListenerKind::kSpartan) {
    context_.counters.add(Counter::kHandshakes);
    context_.counters.addLatency(protocol_, Span::kHandshake, Clock::now() - accepted_);
  }
  step_ = Step::kRequest;
  owner_.setDeadline(timeForRequest());
  const Clock::time_point now = Clock::now();
  const bool shookHands = listener_ != ListenerKind::kSpartan;
  owner_.established(shookHands ? pace_.waited(now) : Clock::duration::zero());
  pace_.begin(std::nullopt, {});
  pace_.await(now);
  readRequest();
}

/// From the handshake, or without one from the beginning.
Clock::duration Exchange::timeForRequest() const {
  const Clock::duration all = context_.limits.requestTimeout;
  if (listener_ != ListenerKind::kSpartan) return all;
  return std::max(all - (Clock::now() - accepted_), Clock::duration::zero());
}

void Exchange::readRequest() {
  for (;;) {
    const IoResult result = transport_->read(scratch);
    if (result.status == IoStatus::kBlocked) return acknowledgeNow(transport_->fd());
    if (result.status == IoStatus::kFailed) return end(UniqueFd(), "client left");
    if (result.status == IoStatus::kEnd) {
      transport_->writeLast({});
      static_cast<void>(transport_->send());
      return endGently("client left");
    }
    context_.counters.add(Counter::kBytesIn, result.bytes);
    std::size_t consumed = 0;
    const std::string_view bytes(scratch.data(), result.bytes);
    ParseStep step =
        std::visit([&](auto& parser) { return parser.feed(bytes, consumed); }, parser_);
    if (std::holds_alternative<NeedMore>(step)) continue;
    requestSeen_ = true;
    lineSeen_ = Clock::now();
    if (auto* malformed = std::get_if<Malformed>(&step)) {
      url_ = withoutQuery(malformed->line);
      skippedBody_.reset();
      if (malformed->announced) {
        skippedBody_ = yetToCome(*malformed->announced, bytes.substr(consumed));
      }
      return refuse(wait_ ? slowDown(*wait_)
                          : Response::failure(Status::kBadRequest, std::move(malformed->text)));
    }
    return onRequestLine(std::get<RequestLine>(std::move(step)), bytes.substr(consumed));
  }
}

void Exchange::onRequestLine(RequestLine line, std::string_view behind) {
  // Until the site is known, any query may be a secret.
  url_ = withoutQuery(line.url);
  if (line.uri.scheme == "titan") protocol_ = Protocol::kTitan;
  const std::uint64_t announced = line.upload ? line.upload->size : 0;
  skippedBody_ = yetToCome(announced, behind);
  if (wait_) return refuse(slowDown(*wait_));
  auto routed = context_.gate.admit(std::move(line), listener_, transport_->serverName(), client_);
  if (auto* refusal = std::get_if<Response>(&routed)) return refuse(std::move(*refusal));
  auto& [site, request, takes] = std::get<Routed>(routed);
  if (listener_ == ListenerKind::kSpartan) {
    host_ = request.host;
    path_ = request.path;
  }
  const bool isInput = request.upload && takes == AcceptedBody::kInput;
  if (isInput && request.upload->size > kMaxInputBytes) {
    return refuse(Response::failure(Status::kBadRequest, "The input is longer than 64 KiB"));
  }
  request.users = &context_.services.users;
  request.tls = transport_->tls();
  request.identity = transport_->identity();
  if (request.identity) {
    context_.storage.recordVisit({.certificate = request.identity->fingerprint,
                                  .key = request.identity->keyFingerprint,
                                  .count = 1});
  }
  if (request.upload && !request.upload->edit) announceBody(request, behind);
  step_ = Step::kSite;
  pace_.begin(context_.limits.uploadMinRate, kUploadWindow);
  owner_.setDeadline(context_.limits.writeTimeout);
  if (isInput) return context_.services.tasks.start(readInput(*site, std::move(request)));
  ask(*site, std::move(request));
}

void Exchange::refuse(Response response) {
  refused_ = true;
  begin(std::move(response));
}

void Exchange::ask(Site& site, Request request) {
  querySecret_ = request.query && site.hidesQuery(request.sitePath());
  if (!querySecret_) url_ = request.url;
  cancellation_ = std::make_shared<Cancellation>();
  request.cancellation = cancellation_;
  site.handle(std::move(request), owner_.makeResponder(), context_.services);
}

/// A data block that is input becomes the query that it is in other protocols.
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

void Exchange::announceBody(Request& request, std::string_view behind) {
  const std::uint64_t size = request.upload->size;
  request.body = std::make_shared<RequestBody>(size, [this] { onBodyWanted(); });
  const Clock::time_point now = Clock::now();
  incoming_.emplace(Incoming{.body = request.body,
                             .behind = std::string(behind),
                             .left = size,
                             .deadline = now + context_.limits.uploadTimeout,
                             .given = now});
}

/// Time in which the site wanted nothing is not the client's.
void Exchange::onBodyWanted() {
  incoming_->deadline += Clock::now() - incoming_->given;
  receiveBody();
}

/// Gives what has come for as long as the site wants more; each read of its own tells the site
/// before the next, so a slow disk holds back the client and not the memory.
void Exchange::receiveBody() {
  while (step_ == Step::kSite && incoming_->body->isWanted()) {
    if (incoming_->restsUntil) return awaitBody();
    auto next = nextOfBody();
    if (!next) return awaitBody();
    if (!*next) return failBody(std::move(*next).error());
    owner_.setDeadline(context_.limits.writeTimeout);
    incoming_->given = Clock::now();
    incoming_->drips = (*next)->size() < kDrip ? incoming_->drips + 1 : 0;
    restBetweenDrips();
    pace_.rest(incoming_->given);
    incoming_->body->give(std::move(*next));
  }
}

void Exchange::restBetweenDrips() {
  Incoming& incoming = *incoming_;
  if (incoming.drips < kDripsInARow || incoming.left == 0) return;
  incoming.restsUntil = incoming.given + kDripRest;
  wakeFrom(static_cast<int>(std::min<std::uint64_t>(incoming.left, kDrip)));
}

/// SO_RCVLOWAT: for so many bytes and no less.
void Exchange::wakeFrom(int bytes) {
  if (bytes == incoming_->lowWater) return;
  ::setsockopt(transport_->fd(), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  incoming_->lowWater = bytes;
}

void Exchange::awaitBody() {
  if (!incoming_->restsUntil) {
    wakeFrom(1);
    acknowledgeNow(transport_->fd());
  }
  const Clock::time_point now = Clock::now();
  pace_.await(now);
  const auto judged =
      std::min(pace_.windowEnd().value_or(incoming_->deadline), incoming_->deadline);
  const auto next = incoming_->restsUntil.value_or(judged);
  owner_.setDeadline(std::max(next - now, Clock::duration::zero()));
}

/// The next bytes, "" at the end, an Error, or nullopt where they are yet to come.
std::optional<Result<std::string>> Exchange::nextOfBody() {
  Incoming& incoming = *incoming_;
  std::string bytes = std::exchange(incoming.behind, {});
  IoResult result{IoStatus::kDone};
  while (bytes.size() <= incoming.left && bytes.size() < kRequestBodyChunk) {
    result = transport_->read(scratch);
    if (result.status != IoStatus::kDone) break;
    context_.counters.add(Counter::kBytesIn, result.bytes);
    bytes.append(scratch.data(), result.bytes);
  }
  // Titan calls it an error; Spartan says nothing of it.
  if (listener_ == ListenerKind::kSpartan) bytes.resize(std::min(bytes.size(), incoming.left));
  if (bytes.size() > incoming.left) {
    return Error{ErrorCode::kInvalid, "More bytes came than were announced"};
  }
  if (!bytes.empty()) {
    incoming.left -= bytes.size();
    pace_.moved(bytes.size(), Clock::now());
    return bytes;
  }
  if (result.status == IoStatus::kFailed) return Error{ErrorCode::kIo, "The client left"};
  if (incoming.left == 0) return std::string();
  if (result.status == IoStatus::kBlocked) return std::nullopt;
  return Error{ErrorCode::kInvalid, "Fewer bytes came than were announced"};
}

void Exchange::failBody(Error error) {
  const bool gone = error.code == ErrorCode::kIo;
  pace_.rest(Clock::now());
  owner_.setDeadline(context_.limits.writeTimeout);
  incoming_->body->end(std::move(error));
  if (gone && step_ != Step::kEnded) end(UniqueFd(), "client left");
}

void Exchange::onBodyDeadline() {
  const Clock::time_point now = Clock::now();
  const bool rested = std::exchange(incoming_->restsUntil, std::nullopt).has_value();
  const bool inTime = now < incoming_->deadline;
  if (rested && inTime) receiveBody();  // what has come by now counts
  if (step_ != Step::kSite) return;
  if (inTime && !pace_.tooSlow(now)) return rested ? void() : awaitBody();
  context_.counters.add(Counter::kTimeouts);
  failBody({ErrorCode::kBusy, "The bytes came too slowly"});
}

void Exchange::respond(std::optional<Response> response) {
  if (step_ != Step::kSite) return;
  if (response) return begin(std::move(*response));
  spdlog::error("a site gave no answer to \"{}\"; the client got 42", logQuote(url_));
  begin(Response::failure(Status::kCgiError, "No answer"));
}

void Exchange::begin(Response response) {
  if (incoming_) incoming_->body->end({ErrorCode::kIo, "the request was answered"});
  // Of a site that answers late, or twice.
  if (cancellation_) cancellation_->request();
  encodeHeader(response);
  if (querySecret_) meta_ = withoutQuery(meta_);
  context_.counters.addAnswer(protocol_, status_);
  if (response.status == Status::kSlowDown) context_.counters.add(Counter::kRateLimited);
  if (header_[0] == '2') body_ = std::move(response.body);
  if (body_) {
    body_->onWake([this] {
      bodyAwaited_ = false;
      owner_.continueLater();
    });
  }
  step_ = Step::kResponse;
  pace_.begin(context_.limits.downloadMinRate, kDownloadWindow);
  lastTaken_ = Clock::now();
  owner_.setDeadline(context_.limits.writeTimeout);
  sendResponse();
}

void Exchange::encodeHeader(Response& response) {
  header_ = listener_ == ListenerKind::kSpartan ? encodeSpartanHeader(response, {host_, path_})
                                                : encodeGeminiHeader(response);
  const std::size_t space = header_.find(' ');
  status_ = header_[0] - '0';
  if (space == 2) status_ = status_ * 10 + (header_[1] - '0');
  meta_ = header_.substr(space + 1, header_.size() - space - 3);
}

void Exchange::sendResponse() {
  const std::uint64_t turnEnds = bytesOut_ + kBytesPerTurn;
  while (bytesOut_ < turnEnds || allWritten_) {
    const IoResult sent = transport_->send();
    if (sent.bytes > 0) {
      socketTook_ += sent.bytes;
      if (!std::exchange(answerBegun_, true)) {
        context_.counters.addLatency(protocol_, Span::kFirstByte, Clock::now() - lineSeen_);
      }
      owner_.setDeadline(context_.limits.writeTimeout);
    }
    if (sent.status == IoStatus::kFailed) return end(UniqueFd(), "client left");
    if (sent.status == IoStatus::kBlocked) return awaitReader(Clock::now());
    if (bodyAwaited_) return pace_.rest(Clock::now());
    if (allWritten_) {
      context_.counters.addLatency(protocol_, Span::kRequest, Clock::now() - accepted_);
      return endGently("ok");
    }
    if (bytesOut_ > 0 && !takesMore(transport_->fd())) return awaitReader(Clock::now());
    if (!produce()) return end(UniqueFd(), "body failed");
  }
  owner_.continueLater();
}

/// What the client's kernel has acknowledged is what it took: the socket's buffer takes megabytes
/// of an answer that nobody reads.
void Exchange::lookAtReader(Clock::time_point now) {
  const auto held = static_cast<std::uint64_t>(unreceivedBytes(transport_->fd()));
  const std::uint64_t taken = socketTook_ - std::min(held, socketTook_);
  if (taken <= acknowledged_) return;
  pace_.moved(taken - acknowledged_, now);
  acknowledged_ = taken;
  lastTaken_ = now;
}

/// Until there is room for more, or until the client has taken nothing or too little for too long.
void Exchange::awaitReader(Clock::time_point now) {
  lookAtReader(now);
  pace_.await(now);
  const auto stop = lastTaken_ + context_.limits.writeTimeout;
  const auto next = std::min(pace_.windowEnd().value_or(stop), stop);
  owner_.setDeadline(std::max(next - now, Clock::duration::zero()));
  owner_.awaitRoom();
}

void Exchange::onReaderDeadline() {
  const Clock::time_point now = Clock::now();
  lookAtReader(now);
  const bool stopped = now - lastTaken_ >= context_.limits.writeTimeout;
  if (!stopped && !pace_.tooSlow(now)) return awaitReader(now);
  context_.counters.add(Counter::kTimeouts);
  abort(stopped ? "timeout" : "read too slowly");
}

/// Hands the next chunk to the transport, the header in front of the first and the end behind the
/// last. False when the body cannot go on.
bool Exchange::produce() {
  const std::size_t headerSize = header_.size();
  std::memcpy(scratch.data(), header_.data(), headerSize);
  BodyChunk chunk{BodyChunk::State::kEnd, {}};
  // The first goes out unseen: no more than a socket of a new connection takes.
  const std::size_t most = bytesOut_ == 0 ? kBodyChunk : transport_->chunk();
  if (body_) chunk = body_->pull(std::span(scratch).first(most).subspan(headerSize));
  if (chunk.state == BodyChunk::State::kFailed) return false;
  bodyAwaited_ = chunk.state == BodyChunk::State::kLater;
  if (headerSize > 0 && chunk.bytes.data() != scratch.data() + headerSize) {
    // It may lie elsewhere in `scratch`.
    std::char_traits<char>::move(scratch.data() + headerSize, chunk.bytes.data(),
                                 chunk.bytes.size());
  }
  const std::string_view bytes =
      headerSize == 0 ? chunk.bytes
                      : std::string_view(scratch.data(), headerSize + chunk.bytes.size());
  allWritten_ = chunk.state == BodyChunk::State::kEnd;
  if (allWritten_) {
    transport_->writeLast(bytes);
  } else if (!bytes.empty()) {
    transport_->write(bytes);
  }
  bytesOut_ += bytes.size();
  header_.clear();
  if (allWritten_) body_.reset();
  return true;
}

/// The client has yet to receive what was sent.
void Exchange::endGently(std::string_view why) {
  skipBody();
  end(transport_->releaseSocket(), why);
}

/// Most bodies that nobody wants are there already.
void Exchange::skipBody() {
  if (incoming_) skippedBody_ = incoming_->left - incoming_->behind.size();
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
  context_.counters.add(Counter::kBytesOut, bytesOut_);
  body_.reset();
  if (requestSeen_) writeAccessLog(why);
  if (!requestSeen_) {
    spdlog::debug("{} ended before a request: {}", client_.text(context_.addressMask), why);
  }
  owner_.ended(std::move(socket), skippedBody_);
}

void Exchange::writeAccessLog(std::string_view why) const {
  if (refused_ && !context_.refusals.mayLog(client_)) return;
  const auto identity = transport_->identity();
  const std::string client = client_.text(context_.addressMask);
  logAccess({.protocol = nameOf(protocol_),
             .url = refused_ ? shortened(url_) : url_,
             .status = status_,
             .meta = meta_,
             .bytes = bytesOut_,
             .duration = Clock::now() - accepted_,
             .client = client,
             .user = identity ? std::string_view(identity->fingerprint).substr(0, 16) : "",
             .ended = why});
}

}  // namespace egalaxyd
