// The right to be answered by a script or an application, of which there are dynamic.requests.
#pragma once

#include <memory>
#include <utility>

#include "common/shared/shared_state.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {

/// Move-only; given back when it goes. Loop thread.
class ProgramPlace {
 public:
  ProgramPlace(SharedState& shared, std::size_t slot, const IpAddress& client)
      : held_(new Held{shared, slot, client}) {}

 private:
  struct Held {
    SharedState& shared;
    std::size_t slot;
    IpAddress client;
  };
  struct GiveBack {
    void operator()(Held* held) const noexcept {
      held->shared.slot(held->slot).add(Gauge::kProgramRequests, -1);
      held->shared.releaseAddress(held->slot, PerAddress::kProgramRequests, held->client);
      delete held;
    }
  };
  std::unique_ptr<Held, GiveBack> held_;
};

}  // namespace egalaxyd
