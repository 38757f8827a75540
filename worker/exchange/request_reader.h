// The first part of an exchange: reads the request line.
#pragma once

#include <string_view>
#include <variant>

#include "common/shared/shared_state.h"
#include "worker/base/listener_kind.h"
#include "worker/protocol/gemini_parser.h"
#include "worker/protocol/spartan_parser.h"
#include "worker/transport/transport.h"

namespace egalaxyd {

/// Loop thread only; never waits.
class RequestReader {
 public:
  explicit RequestReader(ListenerKind listener);

  struct Awaited {};  ///< more is needed; the socket has no more now
  struct Left {};     ///< the connection has failed
  struct Ended {};    ///< the client ended its side before the line was whole
  struct Line {
    std::variant<RequestLine, Malformed> line;
    std::string_view behind;  ///< what came with it; valid until the next read of any exchange
  };
  using Outcome = std::variant<Awaited, Left, Ended, Line>;
  /// Reads what there is. A Line is the last outcome.
  Outcome read(Transport& transport, WorkerSlot& counters);

 private:
  std::variant<GeminiParser, SpartanParser> parser_;
};

}  // namespace egalaxyd
