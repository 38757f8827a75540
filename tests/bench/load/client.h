// One measured client: connect, ask, read the answer to its proper end. Then the next.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "load/link.h"
#include "load/options.h"
#include "load/report.h"

namespace egalaxyd::load {

class Client {
 public:
  /// Makes the first words, the costly part of speaking up, before there is a connection; begin()
  /// then connects and stays silent until speak().
  void holdBack(const Options& options, SSL_CTX* context);
  /// Connects.
  void begin(const Options& options, int epoll, int source);
  /// Lets a held back client go on; its time counts from here.
  void speak();

  /// Goes on as far as possible. True when it has ended: see outcome(); then it is closed.
  bool advance(SSL_CTX* context);
  bool active() const { return link_.isOpen(); }
  bool isHeld() const { return active() && state_ == State::kHeld; }
  Outcome outcome() const { return outcome_; }
  std::uint64_t beganNs() const { return beganNs_; }
  std::uint64_t bodyBytes() const { return bodyBytes_; }
  void abandon(Outcome outcome) { end(outcome); }

 private:
  enum class State { kConnecting, kHeld, kAsking, kHeader, kBody };

  void prepareRequest();
  bool ask();
  bool listen();
  bool take(const char* bytes, std::size_t count);
  bool takeHeader(const char*& bytes, std::size_t& count);
  bool finish(bool properly);
  bool end(Outcome outcome);

  const Options* options_ = nullptr;
  Link link_;
  State state_ = State::kConnecting;
  bool holdBack_ = false;
  std::string upload_;       ///< line and body; "": the line is the target's
  std::string_view asking_;  ///< what is to be sent
  std::size_t asked_ = 0;
  std::string header_;
  std::uint64_t bodyBytes_ = 0;
  std::uint64_t beganNs_ = 0;
  Outcome outcome_ = Outcome::kOk;
};

}  // namespace egalaxyd::load
