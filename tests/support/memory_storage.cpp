#include "tests/support/memory_storage.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>
#include <vector>

namespace egalaxyd {
namespace {

struct Value {
  std::string bytes;
  WallTime updated{};
};

struct Content {
  std::vector<std::string> parts;
  std::string sha256;
  std::uint64_t refs = 0;  ///< versions, latest records and announced uploads that have it
  WallTime begun{};        ///< while it is not whole
};

struct KeptVersion {
  Version version;
  std::string host;
  std::string mount;
  std::string path;
  WallTime ended{};
  std::optional<WallTime> expires;

  std::uint64_t counted() const { return version.size + kBlockBytes; }
};

struct State {
  std::map<std::string, User, std::less<>> users;
  std::map<std::string, std::string, std::less<>> userOfKey;
  std::map<std::string, std::map<std::string, Value>, std::less<>> metadata;  ///< by user
  std::map<std::int64_t, UploadRecord> uploads;                               ///< by id
  std::map<std::pair<std::string, std::string>, std::int64_t> latest;         ///< by host and path
  std::map<std::int64_t, UploadRecord> pending;                               ///< by id
  std::int64_t lastId = 0;
  std::int64_t lastPending = 0;
  std::map<std::int64_t, Content> contents;
  std::map<std::int64_t, KeptVersion> versions;  ///< by what replaced it; -pending: not settled yet
  std::int64_t lastContent = 0;
  std::map<std::int64_t, std::int64_t> brought;  ///< content by pending upload
  std::map<std::int64_t, std::int64_t> held;     ///< content by latest record
};

class MemoryStorage final : public Storage {
 public:
  explicit MemoryStorage(const StorageLimits& limits) : limits_(limits) {}

  bool holdsContent() const override { return true; }

  Result<void> begin(Access access, const StorageKeys&) override {
    if (auto allowed = check(access); !allowed) return allowed;
    if (before_.empty()) access_ = access;
    before_.push_back(state_);
    return {};
  }

  Result<void> commit() override {
    before_.pop_back();
    return {};
  }

  void rollback() override {
    state_ = std::move(before_.back());
    before_.pop_back();
  }

  std::optional<Error> trouble() const override { return {}; }

  Result<std::optional<std::string>> findUser(std::string_view certificate,
                                              std::string_view key) override {
    for (const std::string_view fingerprint : {certificate, key}) {
      if (auto checked = checkFingerprint(fingerprint); !checked) return checked.error();
    }
    const auto known = state_.userOfKey.find(key);
    if (known == state_.userOfKey.end()) return std::optional<std::string>();
    return std::optional(known->second);
  }

  Result<std::string> resolveUser(std::string_view certificate, std::string_view key, WallTime now,
                                  std::string_view claimed) override {
    const auto found = findUser(certificate, key);
    if (!found) return found.error();
    if (*found) return **found;
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    if (!mayMakeUser(now)) return tooManyNewUsers(limits_);
    std::string id(certificate);
    User& user =
        state_.users.try_emplace(id, User{id, now, now, 0, {}, std::string(claimed)}).first->second;
    user.keys.emplace_back(key);
    std::sort(user.keys.begin(), user.keys.end());
    state_.userOfKey.emplace(key, id);
    return id;
  }

  Result<void> addVisits(std::span<const Visit> visits) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      for (const Visit& visit : visits) {
        const auto known = findUser(visit.certificate, visit.key);
        if (!known) return known.error();
        if (!*known && !(visit.admitted && mayMakeUser(visit.last))) continue;
        const auto id = resolveUser(visit.certificate, visit.key, visit.last, visit.claimed);
        if (!id) return id.error();
        User& user = state_.users.at(*id);
        user.visits += visit.count;
        user.claimed = visit.claimed;
        user.lastSeen = std::max(user.lastSeen, visit.last);
      }
      return {};
    });
  }

  Result<std::map<std::string, std::string>> readMetadata(std::string_view user) override {
    const auto found = state_.metadata.find(user);
    std::map<std::string, std::string> metadata;
    if (found == state_.metadata.end()) return metadata;
    for (const auto& [key, value] : found->second) metadata.emplace(key, value.bytes);
    return metadata;
  }

  Result<std::optional<std::string>> readMetadata(std::string_view user,
                                                  std::string_view key) override {
    const auto found = state_.metadata.find(user);
    if (found == state_.metadata.end()) return std::optional<std::string>();
    const auto value = found->second.find(std::string(key));
    if (value == found->second.end()) return std::optional<std::string>();
    return std::optional(value->second.bytes);
  }

  Result<std::vector<MetadataEntry>> findMetadata(std::string_view prefix,
                                                  std::size_t limit) override {
    std::vector<MetadataEntry> entries;
    for (const auto& [user, values] : state_.metadata) {
      for (const auto& [key, value] : values) {
        if (key.starts_with(prefix)) entries.push_back({user, key, value.bytes, value.updated});
      }
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto& a, const auto& b) { return a.updated > b.updated; });
    if (entries.size() > limit) entries.resize(limit);
    return entries;
  }

  Result<void> writeMetadata(std::string_view user, std::string_view key, std::string_view value,
                             WallTime now) override {
    if (auto checked = checkMetadata(key, value); !checked) return checked;
    if (auto allowed = check(Access::kWrite); !allowed) return allowed;
    const auto found = state_.users.find(user);
    if (found == state_.users.end()) return noSuchUser(user);
    found->second.lastSeen = std::max(found->second.lastSeen, now);
    state_.metadata[found->first][std::string(key)] = {std::string(value), now};
    return {};
  }

  Result<void> removeMetadata(std::string_view user, std::string_view key) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed;
    const auto found = state_.metadata.find(user);
    if (found != state_.metadata.end()) found->second.erase(std::string(key));
    return {};
  }

  Result<std::uint64_t> expireMetadata(WallTime lastSeen, std::size_t most) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    std::uint64_t values = 0;
    for (const auto& [id, user] : state_.users) {
      const auto found = state_.metadata.find(id);
      if (user.lastSeen >= lastSeen || found == state_.metadata.end()) continue;
      for (; !found->second.empty() && values < most; ++values) {
        found->second.erase(found->second.begin());
      }
      if (found->second.empty()) state_.metadata.erase(found);
    }
    return values;
  }

  Result<std::uint64_t> expireUsers(WallTime lastSeen, std::size_t most) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    std::vector<std::string> gone;
    for (const auto& [id, user] : state_.users) {
      if (user.lastSeen < lastSeen && !keepsSomething(id) && gone.size() < most) gone.push_back(id);
    }
    for (const std::string& id : gone) static_cast<void>(forgetUser(id));
    return gone.size();
  }

  Result<std::vector<User>> listUsers(std::size_t limit) override {
    std::vector<User> users;
    for (const auto& [id, user] : state_.users) users.push_back(user);
    std::stable_sort(users.begin(), users.end(),
                     [](const User& a, const User& b) { return a.lastSeen > b.lastSeen; });
    if (users.size() > limit) users.resize(limit);
    return users;
  }

  Result<User> showUser(std::string_view idOrPrefix) override {
    if (idOrPrefix.empty()) return Error{ErrorCode::kInvalid, "an empty user id"};
    const auto fits = [&](auto user) {
      return user != state_.users.end() && user->first.starts_with(idOrPrefix);
    };
    const auto first = state_.users.lower_bound(idOrPrefix);
    if (!fits(first)) return noSuchUser(idOrPrefix);
    if (!fits(std::next(first))) return first->second;
    return Error{ErrorCode::kInvalid,
                 "several users begin with " + std::string(idOrPrefix) + "; give more digits"};
  }

  Result<ForgottenUser> forgetUser(std::string_view id) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    const auto found = state_.users.find(id);
    if (found == state_.users.end()) return noSuchUser(id);
    ForgottenUser gone{.keys = found->second.keys.size()};
    for (const std::string& key : found->second.keys) state_.userOfKey.erase(key);
    for (auto& [number, record] : state_.uploads) {
      if (record.user != id) continue;
      record.user.clear();
      record.client.clear();
      record.writer.clear();
      ++gone.uploads;
    }
    if (const auto values = state_.metadata.find(id); values != state_.metadata.end()) {
      gone.metadata = values->second.size();
      state_.metadata.erase(values);
    }
    for (auto& [number, record] : state_.pending) {
      if (record.user != id) continue;
      record.user.clear();
      record.client.clear();
      record.writer.clear();
    }
    state_.users.erase(found);
    return gone;
  }

  Result<std::int64_t> recordUpload(const UploadRecord& record) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    const std::int64_t id = insertUpload(record);
    if (record.outcome == UploadOutcome::kRefused) {
      forgetRefused();
    } else {
      std::int64_t& latest = state_.latest[{record.host, record.path}];
      if (const auto held = state_.held.extract(latest)) giveBack(held.mapped());
      latest = id;
    }
    return id;
  }

  Result<std::int64_t> announceUpload(const UploadRecord& record) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    UploadRecord pending = record;
    pending.id = ++state_.lastPending;
    if (!state_.users.count(pending.user)) pending.user.clear();
    state_.pending.emplace(pending.id, pending);
    return pending.id;
  }

  Result<std::int64_t> settleUpload(std::int64_t pending, UploadOutcome outcome,
                                    std::string_view previousSha256) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    const auto found = state_.pending.find(pending);
    if (found == state_.pending.end()) return noPending(pending);
    UploadRecord record = std::move(found->second);
    state_.pending.erase(found);
    record.outcome = outcome;
    record.previousSha256 = previousSha256;
    auto id = recordUpload(record);
    if (auto kept = state_.versions.extract(-pending); id && kept) {
      kept.key() = *id;
      kept.mapped().version.replacedBy = *id;
      state_.versions.insert(std::move(kept));
    }
    if (const auto brought = state_.brought.extract(pending); id && brought) {
      state_.held[*id] = brought.mapped();
    }
    return id;
  }

  Result<void> bringContent(std::int64_t pending, const NewContent& content,
                            WallTime now) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      const auto upload = state_.pending.find(pending);
      if (upload == state_.pending.end()) return noPending(pending);
      if (upload->second.sha256.empty()) return Error{ErrorCode::kInvalid, "a deletion"};
      OldContent whole;
      whole.sha256 = upload->second.sha256;
      whole.content = content.content;
      whole.rest = content.rest;
      const auto id = finishContent(whole, now);
      if (!id) return id.error();
      state_.brought[pending] = *id;
      return {};
    });
  }

  Result<std::optional<std::int64_t>> contentOf(std::int64_t upload) override {
    const auto held = state_.held.find(upload);
    return held == state_.held.end() ? std::nullopt : std::optional(held->second);
  }

  Result<void> dropUpload(std::int64_t pending) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed;
    const auto found = state_.pending.find(pending);
    if (found == state_.pending.end()) return {};
    const UploadRecord record = found->second;
    state_.pending.erase(found);
    forgetVersion(-pending);
    if (const auto brought = state_.brought.extract(pending)) giveBack(brought.mapped());
    const auto user = state_.users.find(record.user);
    if (user == state_.users.end() || user->second.firstSeen < record.time) return {};
    if (!keepsSomething(record.user)) static_cast<void>(forgetUser(record.user));
    return {};
  }

  Result<void> completeUpload(std::int64_t pending, std::string_view sha256) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed;
    const auto found = state_.pending.find(pending);
    if (found == state_.pending.end()) return noPending(pending);
    found->second.sha256 = sha256;
    return {};
  }

  Result<std::vector<UploadRecord>> pendingUploads(std::int64_t after, std::size_t limit) override {
    std::vector<UploadRecord> records;
    for (auto each = state_.pending.upper_bound(after);
         each != state_.pending.end() && records.size() < limit; ++each) {
      records.push_back(each->second);
    }
    return records;
  }

  Result<std::vector<UploadRecord>> listUploads(const UploadFilter& filter) override {
    std::vector<UploadRecord> records;
    for (auto each = state_.uploads.rbegin(); each != state_.uploads.rend(); ++each) {
      const UploadRecord& record = each->second;
      const bool fits = record.time >= filter.since && isBeneath(record.path, filter.path) &&
                        (filter.host.empty() || record.host == filter.host) &&
                        (filter.user.empty() || record.user == filter.user) &&
                        (filter.writer.empty() || record.writer == filter.writer);
      if (fits) records.push_back(record);
    }
    std::stable_sort(records.begin(), records.end(),
                     [](const auto& a, const auto& b) { return a.time > b.time; });
    if (records.size() > filter.limit) records.resize(filter.limit);
    return records;
  }

  Result<UploadRecord> showUpload(std::int64_t id) override {
    const auto found = state_.uploads.find(id);
    if (found == state_.uploads.end()) {
      return Error{ErrorCode::kNotFound, "no upload " + std::to_string(id)};
    }
    return found->second;
  }

  Result<std::optional<UploadRecord>> latestUpload(std::string_view host,
                                                   std::string_view path) override {
    const auto found = state_.latest.find({std::string(host), std::string(path)});
    if (found == state_.latest.end()) return std::optional<UploadRecord>();
    return std::optional(state_.uploads.at(found->second));
  }

  Result<KeptUploads> keptUploads(std::string_view host, std::string_view prefix,
                                  std::optional<std::string_view> user) override {
    KeptUploads kept;
    const auto count = [&](const UploadRecord& record) {
      if (user && record.user != *user) return;
      if (record.host != host || !isBeneath(record.path, prefix)) return;
      kept.bytes += record.size + record.blocks * kBlockBytes;
      kept.files += record.blocks > 0 ? 1 : 0;
    };
    for (const auto& [place, id] : state_.latest) {
      const UploadRecord& record = state_.uploads.at(id);
      if (record.outcome != UploadOutcome::kDeleted) count(record);
    }
    for (const auto& [id, record] : state_.pending) count(record);
    return kept;
  }

  Result<std::int64_t> appendContent(std::int64_t content, std::string_view bytes,
                                     WallTime now) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    if (content == 0) {
      content = ++state_.lastContent;
      state_.contents[content].begun = std::max(now, WallTime(std::chrono::seconds(1)));
    }
    const auto found = state_.contents.find(content);
    if (found == state_.contents.end() || found->second.begun == WallTime()) return noContent();
    found->second.parts.emplace_back(bytes);
    return content;
  }

  Result<void> keepVersion(std::int64_t pending, const std::optional<OldContent>& old,
                           WallTime now) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      const auto upload = state_.pending.find(pending);
      if (upload == state_.pending.end()) return noPending(pending);
      forgetVersion(-pending);
      if (!old) return {};
      const auto content = finishContent(*old, now);
      if (!content) return content.error();
      const std::string host = upload->second.host;
      const std::string path = upload->second.path;
      const Version version{recordOfContent(host, path, *old, now), -pending, *content, old->size,
                            old->sha256};
      state_.versions[-pending] = {version, host, old->mount, path, now, old->expires};
      return {};
    });
  }

  Result<void> pruneVersions(std::int64_t pending, std::string_view mount, const KeepRules& rules,
                             WallTime now) override {
    return atomically(*this, Access::kWrite, [&]() -> Result<void> {
      const auto upload = state_.pending.find(pending);
      if (upload == state_.pending.end()) return noPending(pending);
      const std::string host = upload->second.host;
      auto ofFile = versionsOf(host, upload->second.path, pending);
      for (; ofFile.size() > rules.count; ofFile.erase(ofFile.begin())) {
        forgetVersion(ofFile.begin()->second);
      }
      while (keptBytes(host, mount) > rules.bytes) {
        const auto oldest = oldestToGo(host, mount, pending, now);
        if (!oldest) return Error{ErrorCode::kNoSpace, "no room for earlier versions"};
        forgetVersion(*oldest);
      }
      return {};
    });
  }

  Result<std::uint64_t> expireVersions(WallTime now) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    std::vector<std::int64_t> old;
    for (const auto& [id, kept] : state_.versions) {
      if (id > 0 && kept.expires && *kept.expires <= now) old.push_back(id);
    }
    for (const std::int64_t id : old) forgetVersion(id);
    return old.size();
  }

  Result<std::uint64_t> sweepContents(WallTime begun, std::size_t most) override {
    if (auto allowed = check(Access::kWrite); !allowed) return allowed.error();
    std::uint64_t freed = 0;
    for (auto each = state_.contents.begin(); each != state_.contents.end() && freed < most;) {
      Content& content = each->second;
      if (content.refs > 0 || content.begun > begun) {
        ++each;
        continue;
      }
      for (; !content.parts.empty() && freed < most; ++freed) content.parts.pop_back();
      if (freed < most) each = state_.contents.erase(each);
    }
    return freed;
  }

  Result<std::optional<Version>> findVersion(std::int64_t upload) override {
    const auto record = showUpload(upload);
    if (!record) return record.error();
    if (record->outcome == UploadOutcome::kDeleted) return replacedVersion(upload);
    for (const auto& [id, kept] : state_.versions) {
      const bool isOfFile = kept.host == record->host && kept.path == record->path;
      if (id > 0 && isOfFile && kept.version.sha256 == record->sha256) {
        return std::optional(kept.version);
      }
    }
    return std::optional<Version>();
  }

  Result<std::optional<Version>> replacedVersion(std::int64_t upload) override {
    const auto found = state_.versions.find(upload);
    if (found == state_.versions.end()) return std::optional<Version>();
    return std::optional(found->second.version);
  }

  Result<std::string> readContent(std::int64_t content, std::uint64_t part) override {
    const auto found = state_.contents.find(content);
    if (found == state_.contents.end() || part >= found->second.parts.size()) return std::string();
    return found->second.parts[part];
  }

 private:
  using ByUpload = std::multimap<std::int64_t, std::int64_t>;

  /// Of one file, the oldest first: what replaced it, by whose content it is.
  ByUpload versionsOf(std::string_view host, std::string_view path, std::int64_t pending) const {
    ByUpload found;
    for (const auto& [id, kept] : state_.versions) {
      const bool fits = kept.host == host && kept.path == path && (id > 0 || id == -pending);
      if (fits) found.emplace(kept.version.upload, id);
    }
    return found;
  }

  std::uint64_t keptBytes(std::string_view host, std::string_view mount) const {
    std::uint64_t bytes = 0;
    for (const auto& [id, kept] : state_.versions) {
      if (kept.host == host && kept.mount == mount) bytes += kept.counted();
    }
    return bytes;
  }

  std::optional<std::int64_t> oldestToGo(std::string_view host, std::string_view mount,
                                         std::int64_t pending, WallTime now) const {
    std::map<std::tuple<WallTime, std::int64_t>, std::int64_t> old;
    for (const auto& [id, kept] : state_.versions) {
      if (id < 0 || kept.host != host || kept.mount != mount) continue;
      const bool isOnly = versionsOf(host, kept.path, pending).size() == 1;
      if (isOnly && kept.ended > now - kProtectedVersion) continue;
      old.emplace(std::tuple(kept.ended, kept.version.upload), id);
    }
    return old.empty() ? std::nullopt : std::optional(old.begin()->second);
  }

  Result<std::int64_t> finishContent(const OldContent& old, WallTime now) {
    for (auto& [id, content] : state_.contents) {
      if (content.sha256 != old.sha256 || content.refs == 0) continue;
      ++content.refs;
      const auto ours = state_.contents.find(old.content);
      if (ours != state_.contents.end()) ours->second.begun = WallTime();
      return id;
    }
    auto id = Result<std::int64_t>(old.content);
    if (*id == 0 || !old.rest.empty()) id = appendContent(*id, old.rest, now);
    if (!id) return id;
    const auto found = state_.contents.find(*id);
    if (found == state_.contents.end() || found->second.begun == WallTime()) return noContent();
    found->second.sha256 = old.sha256;
    found->second.begun = WallTime();
    found->second.refs = 1;
    return id;
  }

  std::int64_t recordOfContent(const std::string& host, const std::string& path,
                               const OldContent& old, WallTime now) {
    const auto latest = state_.latest.find({host, path});
    if (latest != state_.latest.end() && state_.uploads.at(latest->second).sha256 == old.sha256) {
      return latest->second;
    }
    UploadRecord found;
    found.time = std::min(old.written, now);
    found.host = host;
    found.path = path;
    found.size = old.size;
    found.sha256 = old.sha256;
    found.outcome = UploadOutcome::kFound;
    return insertUpload(found);
  }

  void forgetVersion(std::int64_t replacedBy) {
    const auto kept = state_.versions.find(replacedBy);
    if (kept == state_.versions.end()) return;
    giveBack(kept->second.version.content);
    const auto record = state_.uploads.find(kept->second.version.upload);
    if (record != state_.uploads.end() && record->second.outcome == UploadOutcome::kFound) {
      state_.uploads.erase(record);
    }
    state_.versions.erase(kept);
  }

  void giveBack(std::int64_t id) {
    const auto content = state_.contents.find(id);
    if (content != state_.contents.end() && --content->second.refs == 0) {
      content->second.sha256.clear();
    }
  }

  Result<void> check(Access access) const {
    if (before_.empty() || access == Access::kRead || access_ == Access::kWrite) return {};
    return Error{ErrorCode::kInvalid, "a write within a transaction that only reads"};
  }

  bool mayMakeUser(WallTime now) const {
    const auto isNew = [&](const auto& each) {
      return each.second.firstSeen > now - std::chrono::minutes(1) && each.second.firstSeen <= now;
    };
    const std::int64_t most = limits_.newUsersPerMinute;
    return most == 0 || std::count_if(state_.users.begin(), state_.users.end(), isNew) < most;
  }

  bool keepsSomething(const std::string& user) const {
    const auto isTheirs = [&](const auto& each) {
      return each.second.user == user && each.second.outcome != UploadOutcome::kRefused;
    };
    const auto values = state_.metadata.find(user);
    return (values != state_.metadata.end() && !values->second.empty()) ||
           std::any_of(state_.uploads.begin(), state_.uploads.end(), isTheirs) ||
           std::any_of(state_.pending.begin(), state_.pending.end(), isTheirs);
  }

  std::int64_t insertUpload(const UploadRecord& record) {
    UploadRecord added = record;
    added.id = ++state_.lastId;
    if (!state_.users.count(added.user)) added.user.clear();
    state_.uploads.emplace(added.id, added);
    return added.id;
  }

  void forgetRefused() {
    const auto refused = [](const auto& each) {
      return each.second.outcome == UploadOutcome::kRefused;
    };
    while (state_.uploads.size() > kMaxRefusedUploads &&
           std::count_if(state_.uploads.begin(), state_.uploads.end(), refused) >
               kMaxRefusedUploads) {
      state_.uploads.erase(std::find_if(state_.uploads.begin(), state_.uploads.end(), refused));
    }
  }

  static Error noSuchUser(std::string_view id) {
    return {ErrorCode::kNotFound, "no user " + std::string(id)};
  }

  static Error noContent() { return {ErrorCode::kNotFound, "no such content on its way"}; }

  static Error noPending(std::int64_t id) {
    return {ErrorCode::kNotFound, "no pending upload " + std::to_string(id)};
  }

  const StorageLimits limits_;
  State state_;
  std::vector<State> before_;      ///< as it was when each open transaction began
  Access access_ = Access::kRead;  ///< of the outermost transaction
};

}  // namespace

std::unique_ptr<Storage> makeMemoryStorage(const StorageLimits& limits) {
  return std::make_unique<MemoryStorage>(limits);
}

}  // namespace egalaxyd
