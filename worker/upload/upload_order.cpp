#include "worker/upload/upload_order.h"

#include <utility>

namespace egalaxyd {

std::optional<KeepOrder> keepOrder(const UploadArgs& rules, std::string mount) {
  if (!rules.keep.any()) return std::nullopt;
  KeepOrder order;
  order.mount = std::move(mount);
  order.rules.bytes = rules.keepSize;
  if (rules.keep.age) {
    order.age = std::chrono::ceil<std::chrono::seconds>(*rules.keep.age);
  } else {
    order.rules.count = rules.keep.count;
  }
  return order;
}

}  // namespace egalaxyd
