#include "worker/upload/upload_order.h"

#include <algorithm>
#include <utility>

namespace egalaxyd {

std::optional<KeepOrder> keepOrder(const UploadArgs& rules, std::string mount) {
  if (!rules.keep.any()) return std::nullopt;
  KeepOrder order;
  order.mount = std::move(mount);
  // By default, too, the largest file's version can be kept.
  order.rules.bytes = std::max(rules.keepSize, rules.maxSize + kBlockBytes);
  if (rules.keep.age) {
    order.age = std::chrono::ceil<std::chrono::seconds>(*rules.keep.age);
  } else {
    order.rules.count = rules.keep.count;
  }
  return order;
}

}  // namespace egalaxyd
