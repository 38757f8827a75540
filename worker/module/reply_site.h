// module = "reply".
#pragma once

#include <utility>

#include "common/config/config.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// The same answer to everything. `args.status` is one of Status.
class ReplySite final : public Site {
 public:
  explicit ReplySite(ReplyArgs args) : args_(std::move(args)) {}
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const ReplyArgs args_;
};

}  // namespace egalaxyd
