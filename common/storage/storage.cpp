#include "common/storage/storage.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>

#include "common/base/path.h"

namespace egalaxyd {
namespace {

/// In the order of UploadOutcome.
constexpr std::array<std::string_view, 5> kOutcomes{"stored", "replaced", "deleted", "refused",
                                                    "found"};

}  // namespace

Result<void> checkFingerprint(std::string_view fingerprint) {
  const auto isHex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (fingerprint.size() == 64 && std::all_of(fingerprint.begin(), fingerprint.end(), isHex)) {
    return {};
  }
  return Error{ErrorCode::kInvalid, "a fingerprint is 64 lower-case hex digits"};
}

Result<void> checkMetadata(std::string_view key, std::string_view value) {
  if (key.empty() || key.size() > kMaxMetadataKeyBytes) {
    return Error{ErrorCode::kInvalid, fmt::format("a metadata key of {} bytes: 1 to {} are allowed",
                                                  key.size(), kMaxMetadataKeyBytes)};
  }
  if (value.size() > kMaxMetadataBytes) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("metadata of {} bytes: at most {} are allowed under one key",
                             value.size(), kMaxMetadataBytes)};
  }
  if (!isPrintable(key)) {
    return Error{ErrorCode::kInvalid, "a metadata key is UTF-8 without control characters"};
  }
  return {};
}

std::string claimedName(std::string_view commonName) {
  std::string name;
  while (!commonName.empty()) {
    const std::string_view shown = takeShown(commonName);
    if (name.size() + shown.size() > kMaxClaimedNameBytes) break;
    name += shown;
  }
  return name;
}

Error tooManyNewUsers(const StorageLimits& limits) {
  return {
      ErrorCode::kBusy,
      fmt::format("users.new_per_minute: {} users were made within a minute; try again after it",
                  limits.newUsersPerMinute)};
}

bool isBeneath(std::string_view path, std::string_view prefix) {
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

std::string userKey(std::string_view keyFingerprint) {
  return fmt::format("user:{}", keyFingerprint);
}

std::string placeKey(std::string_view host, std::string_view path) {
  return fmt::format("place:{}{}", host, path);
}

std::string quotaKey(std::string_view host, std::string_view prefix) {
  return fmt::format("quota:{}{}", host, prefix);
}

Result<void> Storage::bringContent(std::int64_t, const NewContent&, WallTime) {
  return Error{ErrorCode::kInvalid, "this storage holds no content of uploads"};
}

Result<std::optional<std::int64_t>> Storage::contentOf(std::int64_t) {
  return std::optional<std::int64_t>();
}

Result<QuotaVerdict> measureUpload(Storage& storage, const UploadRecord& record,
                                   const UploadQuota& quota) {
  const auto before = storage.latestUpload(record.host, record.path);
  if (!before) return before.error();
  const bool replaces = *before && (*before)->outcome != UploadOutcome::kDeleted;
  const auto counted = [](const UploadRecord& r) { return r.size + r.blocks * kBlockBytes; };
  const std::uint64_t more = counted(record);
  const auto exceeds = [&](std::uint64_t kept, std::uint64_t most, bool givesBack) {
    if (givesBack) kept -= std::min(kept, counted(**before));
    return more > most || kept > most - more;
  };
  if (quota.userBytes != UploadQuota::kUnlimited) {
    const auto own = storage.keptUploads(record.host, quota.prefix, record.user);
    if (!own) return own.error();
    const bool givesBack = replaces && (*before)->user == record.user;
    if (exceeds(own->bytes, quota.userBytes, givesBack)) return QuotaVerdict::kUserIsFull;
  }
  if (!quota.isShared()) return QuotaVerdict::kFits;
  const auto all = storage.keptUploads(record.host, quota.prefix, std::nullopt);
  if (!all) return all.error();
  if (exceeds(all->bytes, quota.allBytes, replaces)) return QuotaVerdict::kAllIsFull;
  return !replaces && all->files >= quota.files ? QuotaVerdict::kTooManyFiles : QuotaVerdict::kFits;
}

std::string_view toString(UploadOutcome outcome) {
  return kOutcomes[static_cast<std::size_t>(outcome)];
}

UploadOutcome uploadOutcome(std::string_view name) {
  const auto found = std::find(kOutcomes.begin(), kOutcomes.end(), name);
  if (found == kOutcomes.end()) return UploadOutcome::kStored;
  return static_cast<UploadOutcome>(found - kOutcomes.begin());
}

}  // namespace egalaxyd
