#include "worker/exchange/request_reader.h"

#include <utility>

#include "worker/exchange/scratch.h"

namespace egalaxyd {

RequestReader::RequestReader(ListenerKind listener) {
  if (listener == ListenerKind::kSpartan) parser_.emplace<SpartanParser>();
}

RequestReader::Outcome RequestReader::read(Transport& transport, WorkerSlot& counters) {
  for (;;) {
    const IoResult result = transport.read(scratch);
    if (result.status == IoStatus::kBlocked) return Awaited{};
    if (result.status == IoStatus::kFailed) return Left{};
    if (result.status == IoStatus::kEnd) return Ended{};
    counters.add(Counter::kBytesIn, result.bytes);
    std::size_t consumed = 0;
    const std::string_view bytes(scratch.data(), result.bytes);
    ParseStep step =
        std::visit([&](auto& parser) { return parser.feed(bytes, consumed); }, parser_);
    if (std::holds_alternative<NeedMore>(step)) continue;
    const std::string_view behind = bytes.substr(consumed);
    if (auto* malformed = std::get_if<Malformed>(&step)) {
      return Line{std::move(*malformed), behind};
    }
    return Line{std::get<RequestLine>(std::move(step)), behind};
  }
}

}  // namespace egalaxyd
