// The right and the duty to answer one request.
#pragma once

#include <optional>
#include <utility>

#include "common/base/unique_function.h"
#include "worker/site/response.h"

namespace egalaxyd {

/// Move-only; answers exactly once, now or later, on the loop's thread. If it is destroyed without
/// an answer, the client gets a 42 and the log a line, so a forgotten path leaves no request
/// without an answer. If the client has left meanwhile, the answer is dropped.
class Responder {
 public:
  /// `deliver` gets the response, or nullopt when the responder was dropped.
  explicit Responder(UniqueFunction<void(std::optional<Response>)> deliver)
      : deliver_(std::move(deliver)) {}
  Responder(Responder&&) = default;
  Responder& operator=(Responder&& other) noexcept {
    drop();
    deliver_ = std::move(other.deliver_);
    return *this;
  }
  ~Responder() { drop(); }

  /// Does nothing if the answer has been given already.
  void send(Response response) && {
    if (auto deliver = std::exchange(deliver_, {})) deliver(std::move(response));
  }

 private:
  void drop() {
    if (!deliver_) return;
    auto deliver = std::exchange(deliver_, {});
    deliver(std::nullopt);
  }

  UniqueFunction<void(std::optional<Response>)> deliver_;
};

}  // namespace egalaxyd
