// One process' share of the stalled clients. A client that the server closes is replaced, so that
// their number stays.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "load/link.h"
#include "load/options.h"
#include "load/report.h"

namespace egalaxyd::load {

class Stallers {
 public:
  /// `options` outlives it; every kind in `options.stalls` counts for this process.
  explicit Stallers(const Options& options);
  ~Stallers();

  /// Opens all; returns 2 s after each is as far as it means to go, at most after 22 s.
  void prepare();
  /// Keeps them stalling until `stopFd` is readable or the lid is reached.
  Report run(int stopFd);

 private:
  struct Staller;

  void open(Staller& staller);
  void advance(Staller& staller);
  void close(Staller& staller);
  void serveEvents(int waitMs);
  void tick();

  const Options& options_;
  SSL_CTX* context_;
  int epoll_;
  std::string halfHello_;
  std::vector<std::unique_ptr<Staller>> stallers_;
  Report report_;
  std::uint64_t opened_ = 0;    ///< so far
  std::uint64_t lid_ = 0;       ///< ns
  std::uint64_t nextTick_ = 0;  ///< ns
};

}  // namespace egalaxyd::load
