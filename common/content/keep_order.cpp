#include "common/content/keep_order.h"

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

Result<void> keepHeldVersion(Storage& storage, std::int64_t pending, const UploadRecord& before,
                             const KeepOrder& order) {
  const auto held = storage.contentOf(before.id);
  if (!held) return held.error();
  if (!*held) return {};
  OldContent old;
  old.mount = order.mount;
  old.sha256 = before.sha256;
  old.size = before.size;
  old.written = before.time;
  if (order.age) old.expires = wallNow() + *order.age;
  if (auto kept = storage.keepVersion(pending, old, wallNow()); !kept) return kept;
  return storage.pruneVersions(pending, order.mount, order.rules, wallNow());
}

}  // namespace egalaxyd
