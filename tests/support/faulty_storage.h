// A storage that fails when a test wants it to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/storage/storage.h"

namespace egalaxyd {

/// Passes everything on to `inner`, except the call number `failAt` (counted from 1; 0: none),
/// which answers `error`. A commit that fails has rolled back. For loops over all the places where
/// something can fail:
///
///   for (int n = 1;; ++n) {
///     FaultyStorage storage(makeInner(), n);
///     if (scenario(storage)) break;
///     expectNothingHalfVisible(storage);
///   }
class FaultyStorage final : public Storage {
 public:
  FaultyStorage(std::unique_ptr<Storage> inner, int failAt,
                Error error = {ErrorCode::kIo, "injected failure"})
      : inner_(std::move(inner)), failAt_(failAt), error_(std::move(error)) {}

  /// Fails every call from now on, until healed with nullopt.
  void failAlways(std::optional<Error> error) { always_ = std::move(error); }
  /// Fails the next commit of an outermost transaction that writes.
  void failNextCommit() { failsCommit_ = true; }
  int calls() const { return calls_; }
  enum class Moment { kBegin, kCommit, kLook };
  using Fate = std::function<std::optional<Error>(Moment, const StorageKeys&)>;
  /// Asked at the beginning and at the commit of each outermost transaction that writes, and when
  /// an idle storage looks: an error is the answer, and nothing has happened.
  void follow(Fate fate) { fate_ = std::move(fate); }
  /// addVisits() is a commit of its own.
  void countVisitsApart() { visitsApart_ = true; }
  bool countsVisitsApart() const override { return visitsApart_; }
  /// Called before each transaction begins, as if a lock were waited for.
  void whileLocked(std::function<void(Access)> wait) { whileLocked_ = std::move(wait); }
  /// Outermost transactions that were committed.
  int commits() const { return commits_; }

  Result<void> begin(Access access, const StorageKeys& keys) override {
    if (depth_ == 0) trouble_.reset();
    if (depth_ == 0 && whileLocked_) whileLocked_(access);
    if (depth_ == 0) access_ = access;
    if (fails() || isFated(Moment::kBegin, keys)) return *trouble_;
    Result<void> begun = inner_->begin(access, keys);
    if (begun) ++depth_;
    return begun;
  }
  Result<void> commit() override {
    --depth_;
    const bool isWriters = depth_ == 0 && access_ == Access::kWrite;
    const bool failsNow = isWriters && std::exchange(failsCommit_, false);
    if (failsNow) trouble_ = error_;
    if (failsNow || fails() || isFated(Moment::kCommit, {})) {
      inner_->rollback();
      return *trouble_;
    }
    Result<void> committed = inner_->commit();
    if (committed && depth_ == 0) ++commits_;
    return committed;
  }
  void rollback() override {
    --depth_;
    inner_->rollback();
  }
  std::optional<Error> trouble() const override { return trouble_; }
  Result<void> look() override {
    trouble_ = fate_ ? fate_(Moment::kLook, {}) : std::nullopt;
    return trouble_ ? Result<void>(*trouble_) : Result<void>();
  }

  Result<std::optional<std::string>> findUser(std::string_view certificate,
                                              std::string_view key) override {
    if (fails()) return *trouble_;
    return inner_->findUser(certificate, key);
  }
  Result<std::string> resolveUser(std::string_view certificate, std::string_view key, WallTime now,
                                  std::string_view claimed) override {
    if (fails()) return *trouble_;
    return inner_->resolveUser(certificate, key, now, claimed);
  }
  Result<void> addVisits(std::span<const Visit> visits) override {
    if (fails()) return *trouble_;
    return inner_->addVisits(visits);
  }
  Result<std::map<std::string, std::string>> readMetadata(std::string_view user) override {
    if (fails()) return *trouble_;
    return inner_->readMetadata(user);
  }
  Result<std::optional<std::string>> readMetadata(std::string_view user,
                                                  std::string_view key) override {
    if (fails()) return *trouble_;
    return inner_->readMetadata(user, key);
  }
  Result<std::vector<MetadataEntry>> findMetadata(std::string_view prefix,
                                                  std::size_t limit) override {
    if (fails()) return *trouble_;
    return inner_->findMetadata(prefix, limit);
  }
  Result<void> writeMetadata(std::string_view user, std::string_view key, std::string_view value,
                             WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->writeMetadata(user, key, value, now);
  }
  Result<void> removeMetadata(std::string_view user, std::string_view key) override {
    if (fails()) return *trouble_;
    return inner_->removeMetadata(user, key);
  }
  Result<std::uint64_t> expireMetadata(WallTime lastSeen, std::size_t most) override {
    if (fails()) return *trouble_;
    return inner_->expireMetadata(lastSeen, most);
  }
  Result<std::uint64_t> expireUsers(WallTime lastSeen, std::size_t most) override {
    if (fails()) return *trouble_;
    return inner_->expireUsers(lastSeen, most);
  }
  Result<std::vector<User>> listUsers(std::size_t limit) override {
    if (fails()) return *trouble_;
    return inner_->listUsers(limit);
  }
  Result<User> showUser(std::string_view idOrPrefix) override {
    if (fails()) return *trouble_;
    return inner_->showUser(idOrPrefix);
  }
  Result<ForgottenUser> forgetUser(std::string_view id) override {
    if (fails()) return *trouble_;
    return inner_->forgetUser(id);
  }
  Result<std::int64_t> recordUpload(const UploadRecord& record) override {
    if (fails()) return *trouble_;
    return inner_->recordUpload(record);
  }
  Result<std::int64_t> announceUpload(const UploadRecord& record) override {
    if (fails()) return *trouble_;
    return inner_->announceUpload(record);
  }
  Result<std::int64_t> settleUpload(std::int64_t id, UploadOutcome outcome,
                                    std::string_view previousSha256) override {
    if (fails()) return *trouble_;
    return inner_->settleUpload(id, outcome, previousSha256);
  }
  bool holdsContent() const override { return inner_->holdsContent(); }
  Result<void> bringContent(std::int64_t pending, const NewContent& content,
                            WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->bringContent(pending, content, now);
  }
  Result<std::optional<std::int64_t>> contentOf(std::int64_t upload) override {
    if (fails()) return *trouble_;
    return inner_->contentOf(upload);
  }
  Result<void> dropUpload(std::int64_t id) override {
    if (fails()) return *trouble_;
    return inner_->dropUpload(id);
  }
  Result<void> completeUpload(std::int64_t id, std::string_view sha256) override {
    if (fails()) return *trouble_;
    return inner_->completeUpload(id, sha256);
  }
  Result<std::vector<UploadRecord>> pendingUploads(std::int64_t after, std::size_t limit) override {
    if (fails()) return *trouble_;
    return inner_->pendingUploads(after, limit);
  }
  Result<std::vector<UploadRecord>> listUploads(const UploadFilter& filter) override {
    if (fails()) return *trouble_;
    return inner_->listUploads(filter);
  }
  Result<UploadRecord> showUpload(std::int64_t id) override {
    if (fails()) return *trouble_;
    return inner_->showUpload(id);
  }
  Result<std::optional<UploadRecord>> latestUpload(std::string_view host,
                                                   std::string_view path) override {
    if (fails()) return *trouble_;
    return inner_->latestUpload(host, path);
  }
  Result<KeptUploads> keptUploads(std::string_view host, std::string_view prefix,
                                  std::optional<std::string_view> user) override {
    if (fails()) return *trouble_;
    return inner_->keptUploads(host, prefix, user);
  }
  Result<std::int64_t> appendContent(std::int64_t content, std::string_view bytes,
                                     WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->appendContent(content, bytes, now);
  }
  Result<void> keepVersion(std::int64_t pending, const std::optional<OldContent>& old,
                           WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->keepVersion(pending, old, now);
  }
  Result<void> pruneVersions(std::int64_t pending, std::string_view mount, const KeepRules& rules,
                             WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->pruneVersions(pending, mount, rules, now);
  }
  Result<std::uint64_t> expireVersions(WallTime now) override {
    if (fails()) return *trouble_;
    return inner_->expireVersions(now);
  }
  Result<std::uint64_t> sweepContents(WallTime begun, std::size_t most) override {
    if (fails()) return *trouble_;
    return inner_->sweepContents(begun, most);
  }
  Result<std::optional<Version>> findVersion(std::int64_t upload) override {
    if (fails()) return *trouble_;
    return inner_->findVersion(upload);
  }
  Result<std::optional<Version>> replacedVersion(std::int64_t upload) override {
    if (fails()) return *trouble_;
    return inner_->replacedVersion(upload);
  }
  Result<std::string> readContent(std::int64_t content, std::uint64_t part) override {
    if (fails()) return *trouble_;
    return inner_->readContent(content, part);
  }

 private:
  bool isFated(Moment moment, const StorageKeys& keys) {
    if (!fate_ || depth_ > 0 || access_ == Access::kRead) return false;
    const auto error = fate_(moment, keys);
    if (error) trouble_ = error;
    return error.has_value();
  }
  bool fails() {
    const bool fail = ++calls_ == failAt_ || always_;
    if (fail) trouble_ = always_.value_or(error_);
    return fail;
  }

  std::unique_ptr<Storage> inner_;
  int failAt_;
  Error error_;
  std::function<void(Access)> whileLocked_;
  Fate fate_;
  bool visitsApart_ = false;
  std::optional<Error> always_;
  int calls_ = 0;
  int depth_ = 0;
  bool failsCommit_ = false;
  Access access_ = Access::kRead;  ///< of the outermost transaction
  int commits_ = 0;
  std::optional<Error> trouble_;
};

}  // namespace egalaxyd
