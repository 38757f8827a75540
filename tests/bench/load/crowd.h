// One process' share of the measured clients.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "load/client.h"
#include "load/options.h"
#include "load/report.h"

namespace egalaxyd::load {

class Crowd {
 public:
  /// `options` is this process' share and outlives the crowd.
  explicit Crowd(const Options& options);

  /// With --simultaneous: connects everyone, without a word said. Else does nothing.
  void prepare();
  /// Runs until the requests or the seconds are used up, or the lid is reached.
  Report run();

 private:
  void startNext(Client& client);
  void serveEvents(int waitMs);
  void settle(Client& client);
  void sweep();

  const Options& options_;
  SSL_CTX* context_;
  int epoll_;
  std::vector<Client> clients_;
  Report report_;
  std::uint64_t left_ = 0;        ///< requests that have not begun
  std::uint64_t startUntil_ = 0;  ///< ns; no request begins after it
  std::uint64_t lid_ = 0;         ///< ns
  std::uint64_t nextSweep_ = 0;   ///< ns
  std::size_t active_ = 0;
  std::size_t source_ = 0;
  std::vector<Client*> paused_;  ///< refused; they try again at the next sweep
};

}  // namespace egalaxyd::load
