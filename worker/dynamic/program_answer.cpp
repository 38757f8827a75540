#include "worker/dynamic/program_answer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "worker/base/alarm.h"
#include "worker/dynamic/programs.h"

namespace egalaxyd {
namespace {

using State = AnswerSource::Piece::State;

/// What is read and thrown away of an answer that nobody wants.
constexpr std::uint64_t kMostReadAway = 64 * 1024;
/// How long a program may take to end when its answer has been given.
constexpr milliseconds kReadAwayTime{2'000};
/// The same of one that got a body and may run for ever, but that nobody hears any more.
constexpr milliseconds kEndlessReadAwayTime{120'000};

std::string inSeconds(milliseconds time) {
  return fmt::format("{:g} s", std::chrono::duration<double>(time).count());
}

/// Reads until a program has ended, so that writing its answer does not end it before its work is
/// done. `all`: all that it says, for as long as `times` allow.
Task<void> readAway(std::unique_ptr<AnswerSource> source, ProgramPlace place, bool all,
                    ProgramTimes times, Services& services) {
  Alarm alarm(services.loop);
  const Programs::Waiting waiting(services.programs, alarm);
  bool late = false;
  Timer deadline(services.loop, [&] {
    late = true;
    alarm.ring();
  });
  deadline.setAfter(all ? times.whole.value_or(kEndlessReadAwayTime) : kReadAwayTime);
  source->onReady([&alarm] { alarm.ring(); });
  std::uint64_t read = 0;
  while (!late && !services.programs.isStopped() && (all || read < kMostReadAway)) {
    std::array<char, 4096> bytes;
    const auto piece = source->read(bytes);
    read += piece.bytes;
    if (piece.state == State::kEnd || piece.state == State::kCut) break;
    if (piece.state == State::kBytes && read % kMostReadAway >= bytes.size()) continue;
    if (piece.state == State::kBytes) alarm.ring();  // others have their turn
    static_cast<void>(co_await alarm.wait());
  }
  static_cast<void>(place);
}

/// The body of an answer: what the program says, as it says it.
class ProgramBody final : public BodySource {
 public:
  /// `rest` came behind the header. `spent`: of times.whole.
  ProgramBody(ProgramAnswer answer, std::string rest, Clock::duration spent, Services& services)
      : answer_(std::move(answer)),
        rest_(std::move(rest)),
        spent_(spent),
        services_(services),
        timer_(services.loop, [this] { onLate(); }) {
    answer_.source->onReady([this] { wakeOnce(); });
  }
  ~ProgramBody() override;
  ProgramBody(const ProgramBody&) = delete;
  ProgramBody& operator=(const ProgramBody&) = delete;

  BodyChunk pull(std::span<char> scratch) override;
  bool keepsTime() const override { return true; }

 private:
  void await();
  void rest();
  void onLate();
  void wakeOnce();
  BodyChunk atEnd(State how);

  ProgramAnswer answer_;
  std::string rest_;
  Clock::duration spent_;  ///< of times.whole: time in which the program was waited for
  Services& services_;
  Timer timer_;
  std::optional<Clock::time_point> waitsSince_;
  bool asleep_ = false;  ///< pull() said kLater
  bool late_ = false;
  bool over_ = false;
};

ProgramBody::~ProgramBody() {
  if (over_ || late_) return;
  answer_.source->onReady({});
  if (!answer_.runsToItsEnd) return;
  services_.tasks.start(readAway(std::move(answer_.source), std::move(answer_.place), true,
                                 answer_.times, services_));
}

void ProgramBody::wakeOnce() {
  if (std::exchange(asleep_, false)) wake();
}

BodyChunk ProgramBody::pull(std::span<char> scratch) {
  if (late_) return {BodyChunk::State::kFailed, {}};
  if (!rest_.empty()) {
    const std::size_t size = std::min(rest_.size(), scratch.size());
    std::memcpy(scratch.data(), rest_.data(), size);
    rest_.erase(0, size);
    if (rest_.empty()) dropBuffer(rest_);
    return {BodyChunk::State::kMore, {scratch.data(), size}};
  }
  const auto piece = answer_.source->read(scratch);
  if (piece.state == State::kBytes) {
    rest();
    return {BodyChunk::State::kMore, {scratch.data(), piece.bytes}};
  }
  if (piece.state != State::kLater) return atEnd(piece.state);
  await();
  return {BodyChunk::State::kLater, {}};
}

void ProgramBody::await() {
  asleep_ = true;
  if (!waitsSince_) waitsSince_ = Clock::now();
  const ProgramTimes& times = answer_.times;
  auto until = Clock::time_point::max();
  if (times.idle) until = std::min(until, *waitsSince_ + *times.idle);
  if (times.whole) until = std::min(until, *waitsSince_ + (*times.whole - spent_));
  if (until == Clock::time_point::max()) return timer_.cancel();
  timer_.setAt(until);
}

/// It said something.
void ProgramBody::rest() {
  if (!waitsSince_) return;
  spent_ += Clock::now() - *waitsSince_;
  waitsSince_.reset();
  timer_.cancel();
}

void ProgramBody::onLate() {
  const ProgramTimes& times = answer_.times;
  const bool silent = times.idle && waitsSince_ && Clock::now() - *waitsSince_ >= *times.idle;
  answer_.counters.add(Counter::kScriptsLate);
  if (silent) {
    spdlog::error("{}: said nothing for {} (idle_timeout); its answer was cut and it is stopped",
                  answer_.source->name(), inSeconds(*times.idle));
  } else {
    spdlog::error("{}: took more than {} (timeout); its answer was cut and it is stopped",
                  answer_.source->name(), inSeconds(times.whole.value_or(milliseconds())));
  }
  late_ = true;
  answer_.source->onReady({});
  wakeOnce();
}

BodyChunk ProgramBody::atEnd(State how) {
  over_ = true;
  timer_.cancel();
  const std::string words = answer_.source->howItEnded();
  if (how == State::kCut) {
    answer_.counters.add(Counter::kScriptsFailed);
    spdlog::error("{}: {} in the middle of its answer, which was cut", answer_.source->name(),
                  words.empty() ? "ended" : words);
    return {BodyChunk::State::kFailed, {}};
  }
  if (!words.empty()) {
    spdlog::warn("{}: {} after its answer, which was sent", answer_.source->name(), words);
  }
  return {BodyChunk::State::kEnd, {}};
}

/// What reading as far as there is something has brought.
struct HeaderRead {
  HeaderStep step = NeedMore{};
  std::string behind;          ///< bytes behind the header
  std::optional<State> ended;  ///< kEnd or kCut: no more comes
  bool unwanted = false;       ///< nobody waits for the answer any more
};

HeaderRead readHeader(AnswerSource& source, ScriptHeaderParser& parser) {
  std::array<char, 4096> bytes;
  for (;;) {
    const auto piece = source.read(bytes);
    if (piece.state == State::kLater) return {};
    if (piece.state != State::kBytes) return {NeedMore{}, {}, piece.state};
    std::size_t consumed = 0;
    auto step = parser.feed({bytes.data(), piece.bytes}, consumed);
    if (std::holds_alternative<NeedMore>(step)) continue;
    return {std::move(step), {bytes.data() + consumed, piece.bytes - consumed}, {}};
  }
}

/// Why there is no header: it ended, with or without having said something.
BadHeader withoutHeader(const AnswerSource& source, const ScriptHeaderParser& parser) {
  BadHeader bad = parser.ended();
  if (const auto refusal = source.refusal()) bad.status = *refusal;
  const std::string words = source.howItEnded();
  if (!words.empty())
    bad.why = words + " before its header" + (parser.silent() ? "" : ": " + bad.why);
  return bad;
}

void tellNotes(const AnswerSource& source, const std::vector<HeaderNote>& notes) {
  for (const HeaderNote& note : notes) {
    spdlog::log(note.warning ? spdlog::level::warn : spdlog::level::debug, "{}: {}", source.name(),
                note.text);
  }
}

/// Reads until the header is whole, cannot become whole, or is late: then the step is NeedMore.
Task<HeaderRead> awaitHeader(ProgramAnswer& answer, std::shared_ptr<const Cancellation> unwanted,
                             ScriptHeaderParser& parser, Services& services) {
  Alarm alarm(services.loop);
  const Programs::Waiting waiting(services.programs, alarm);
  bool late = false;
  Timer deadline(services.loop, [&] {
    late = true;
    alarm.ring();
  });
  deadline.setAfter(answer.times.header);
  answer.source->onReady([&alarm] { alarm.ring(); });
  if (unwanted) unwanted->onRequest([&alarm] { alarm.ring(); });
  HeaderRead read;
  while (!late) {
    read.unwanted = (unwanted && unwanted->requested()) || services.programs.isStopped();
    if (read.unwanted) break;
    read = readHeader(*answer.source, parser);
    if (read.ended || !std::holds_alternative<NeedMore>(read.step)) break;
    static_cast<void>(co_await alarm.wait());
  }
  if (unwanted) unwanted->onRequest({});
  answer.source->onReady({});
  co_return read;
}

void tellLate(const ProgramAnswer& answer, Responder reply) {
  const bool isCapsule = answer.from == HeaderFrom::kCapsule;
  if (answer.upstream != nullptr) answer.upstream->fail(UpstreamFault::kNoAnswer);
  answer.counters.add(Counter::kScriptsLate);
  spdlog::error("{}: no header within {} (header_timeout); it is stopped", answer.source->name(),
                inSeconds(answer.times.header));
  std::move(reply).send(Response::failure(isCapsule ? Status::kProxyError : Status::kCgiError,
                                          "The application did not answer in time"));
}

void tellBad(const ProgramAnswer& answer, const BadHeader& bad, Responder reply) {
  if (answer.upstream != nullptr) answer.upstream->fail(UpstreamFault::kNoAnswer);
  answer.counters.add(Counter::kScriptsFailed);
  spdlog::error("{}: {}", answer.source->name(), bad.why);
  std::move(reply).send(Response::failure(
      bad.status, bad.text.empty() ? "The application gave no answer" : bad.text));
}

}  // namespace

Task<void> passAnswer(ProgramAnswer answer, std::shared_ptr<const Cancellation> whenUnwanted,
                      Responder reply, Services& services) {
  const Clock::time_point begun = Clock::now();
  ScriptHeaderParser parser(answer.from);
  if (answer.runsToItsEnd) whenUnwanted.reset();
  HeaderRead read = co_await awaitHeader(answer, whenUnwanted, parser, services);
  if (read.unwanted) co_return;
  if (read.ended && answer.tryAgain && answer.source->saidNothing()) {
    co_return answer.tryAgain(std::move(reply), std::move(answer.place));
  }
  if (read.ended) read.step = withoutHeader(*answer.source, parser);
  if (std::holds_alternative<NeedMore>(read.step)) co_return tellLate(answer, std::move(reply));
  auto* header = std::get_if<ScriptHeader>(&read.step);
  if (header == nullptr) {
    tellBad(answer, std::get<BadHeader>(read.step), std::move(reply));
    if (read.ended) co_return;
  } else {
    if (answer.upstream != nullptr) answer.upstream->answer();
    tellNotes(*answer.source, header->notes);
    if (answer.rewrite) answer.rewrite(*header);
    Response response{header->status, std::move(header->meta), nullptr};
    if (header->status == Status::kSuccess) {
      response.body = std::make_unique<ProgramBody>(std::move(answer), std::move(read.behind),
                                                    Clock::now() - begun, services);
      co_return std::move(reply).send(std::move(response));
    }
    std::move(reply).send(std::move(response));
  }
  services.tasks.start(readAway(std::move(answer.source), std::move(answer.place),
                                answer.runsToItsEnd, answer.times, services));
}

}  // namespace egalaxyd
