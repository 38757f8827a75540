#include "load/client.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>

namespace egalaxyd::load {
namespace {

constexpr std::size_t kMaxHeaderBytes = 1029;  // "20 ", META of 1024 bytes, CRLF
constexpr unsigned kUploadNames = 1024;        // of one process; then files are replaced

}  // namespace

void Client::holdBack(const Options& options, SSL_CTX* context) {
  holdBack_ = true;
  if (options.target.wire == Wire::kGemini) link_.prepareTls(context, options.target.host);
}

void Client::begin(const Options& options, int epoll, int source) {
  options_ = &options;
  state_ = State::kConnecting;
  asked_ = 0;
  header_.clear();
  bodyBytes_ = 0;
  prepareRequest();
  beganNs_ = nowNs();
  link_.open(options.target, epoll, this, source, 0, options.nagle);
}

void Client::prepareRequest() {
  asking_ = options_->target.requestLine;
  if (options_->upload.empty()) return;
  static unsigned number = 0;
  const char* size = options_->target.wire == Wire::kGemini ? ";size=" : " ";
  upload_ = options_->target.requestLine + std::to_string(getpid()) + "-" +
            std::to_string(number % kUploadNames) + size + std::to_string(options_->upload.size()) +
            "\r\n";
  const std::size_t body = upload_.size();
  upload_ += options_->upload;
  // Each of its own, as people's pages are: the same content would be kept once.
  const std::string mark = std::to_string(number++);
  upload_.replace(body, std::min(mark.size(), options_->upload.size()), mark, 0,
                  options_->upload.size());
  asking_ = upload_;
}

void Client::speak() {
  beganNs_ = nowNs();
  state_ = State::kAsking;
  if (options_->target.wire == Wire::kGemini) {
    link_.sendHello();  // the answer to it is an event, in its turn
  } else {
    ask();
  }
}

bool Client::advance(SSL_CTX* context) {
  if (state_ == State::kConnecting) {
    const Io io = link_.connected();
    if (io == Io::kWait) return false;
    if (io != Io::kDone) return end(link_.failure());
    const bool tls = options_->target.wire == Wire::kGemini;
    if (tls && !holdBack_) link_.startTls(context, options_->target.host);
    state_ = holdBack_ ? State::kHeld : State::kAsking;
  }
  if (state_ == State::kAsking && ask()) return true;
  if (state_ == State::kHeader || state_ == State::kBody) return listen();
  return false;
}

/// True when the client has ended.
bool Client::ask() {
  while (asked_ < asking_.size()) {
    std::size_t done = 0;
    const Io io = link_.write(asking_.substr(asked_), done);
    if (io == Io::kWait) return false;
    if (io != Io::kDone) return end(io == Io::kFailed ? link_.failure() : Outcome::kReset);
    asked_ += done;
  }
  state_ = State::kHeader;
  return false;
}

bool Client::listen() {
  static std::array<char, 64 * 1024> buffer;
  for (;;) {
    std::size_t got = 0;
    switch (link_.read(buffer.data(), buffer.size(), got)) {
      case Io::kDone:
        if (take(buffer.data(), got)) return true;
        break;
      case Io::kWait:
        return false;
      case Io::kEnd:
        return finish(true);
      case Io::kCut:
        return finish(false);
      case Io::kFailed:
        return end(link_.failure());
    }
  }
}

/// True when the bytes already show that the answer is wrong.
bool Client::take(const char* bytes, std::size_t count) {
  if (state_ == State::kHeader && takeHeader(bytes, count)) return true;
  if (count == 0) return false;
  const auto& expected = options_->body;
  if (options_->bodyBytes && bodyBytes_ + count > *options_->bodyBytes) return end(Outcome::kBody);
  if (expected && std::memcmp(expected->data() + bodyBytes_, bytes, count) != 0) {
    return end(Outcome::kBody);
  }
  bodyBytes_ += count;
  return false;
}

/// Moves the header's part of the bytes away; true when it is not a success.
bool Client::takeHeader(const char*& bytes, std::size_t& count) {
  const auto* newline = static_cast<const char*>(std::memchr(bytes, '\n', count));
  const std::size_t part = newline ? static_cast<std::size_t>(newline - bytes) + 1 : count;
  header_.append(bytes, part);
  bytes += part;
  count -= part;
  if (!newline) return header_.size() > kMaxHeaderBytes && end(Outcome::kStatus);
  const bool gemini = options_->target.wire == Wire::kGemini;
  const std::string_view success =
      options_->upload.empty() ? (gemini ? "20 " : "2 ") : (gemini ? "30 " : "3 ");
  const bool good = header_.starts_with(success) && header_.ends_with("\r\n") &&
                    header_.size() <= kMaxHeaderBytes;
  state_ = State::kBody;
  return !good && end(Outcome::kStatus);
}

bool Client::finish(bool properly) {
  if (header_.empty()) return end(Outcome::kReset);
  const bool whole = properly && state_ == State::kBody &&
                     (!options_->bodyBytes || bodyBytes_ == *options_->bodyBytes);
  return end(whole ? Outcome::kOk : Outcome::kShort);
}

bool Client::end(Outcome outcome) {
  outcome_ = outcome;
  link_.close();
  return true;
}

}  // namespace egalaxyd::load
