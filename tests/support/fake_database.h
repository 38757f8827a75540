// A database that several hosts share, in memory: what its links say comes from one storage.
#pragma once

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/base/sha256.h"
#include "common/cluster/database_engine.h"
#include "common/storage/storage.h"
#include "tests/support/memory_storage.h"

namespace egalaxyd {

/// Any thread. Must outlive its links.
class FakeDatabase {
 public:
  std::unique_ptr<DatabaseLink> link();

  /// Links answer kBusy, and then are new ones.
  void goAway(bool away) {
    away_ = away;
    if (away) ++connection_;
  }
  /// Links find no content, as if it had been swept.
  void spoilContent(bool spoil) { spoilt_ = spoil; }

  /// The record's id. "" deletes.
  std::int64_t put(const std::string& host, const std::string& path, const std::string& content) {
    const std::lock_guard lock(mutex_);
    UploadRecord record;
    record.time = WallTime(std::chrono::seconds(1'000'000));
    record.host = host;
    record.path = path;
    record.size = content.size();
    record.sha256 = content.empty() ? "" : sha256Hex(content);
    const auto pending = storage_->announceUpload(record).value();
    NewContent brought;
    std::string_view left = content;
    for (; left.size() > kContentPart; left.remove_prefix(kContentPart)) {
      const auto part = left.substr(0, kContentPart);
      brought.content = storage_->appendContent(brought.content, part, record.time).value();
    }
    brought.rest = left;
    const bool isDeletion = content.empty();
    if (!isDeletion && !storage_->bringContent(pending, brought, record.time)) return 0;
    const auto outcome = isDeletion ? UploadOutcome::kDeleted : UploadOutcome::kStored;
    return storage_->settleUpload(pending, outcome, "").value();
  }

  std::atomic<int> told = 0;      ///< tellOfChanges()
  std::atomic<int> reported = 0;  ///< report()
  std::atomic<int> compared = 0;  ///< allFiles() from the first
  FleetHost host() {
    const std::lock_guard lock(mutex_);
    return host_;
  }

 private:
  friend class FakeLink;

  std::vector<SharedFile> files() {
    std::map<std::pair<std::string, std::string>, SharedFile> latest;
    const auto records = storage_->listUploads({.limit = 1'000'000}).value();
    for (auto record = records.rbegin(); record != records.rend(); ++record) {
      if (record->outcome == UploadOutcome::kRefused) continue;
      const auto content = storage_->contentOf(record->id).value();
      latest[{record->host, record->path}] = {record->id,         record->host,   record->path,
                                              record->mime,       record->sha256, record->size,
                                              content.value_or(0)};
    }
    std::vector<SharedFile> files;
    for (auto& [place, file] : latest) files.push_back(std::move(file));
    return files;
  }

  std::mutex mutex_;
  std::unique_ptr<Storage> storage_ = makeMemoryStorage();
  FleetHost host_;
  std::atomic<bool> away_ = false;
  std::atomic<bool> spoilt_ = false;
  std::atomic<int> connection_ = 0;
};

class FakeLink final : public DatabaseLink {
 public:
  explicit FakeLink(FakeDatabase& database) : database_(database) {}

  Result<void> examine() override { return {}; }
  Result<DatabaseFacts> facts() override { return DatabaseFacts{}; }
  bool isNew() override {
    const int now = database_.connection_;
    return std::exchange(connection_, now) != now;
  }
  Result<void> waitForChanges(std::chrono::milliseconds, int wakeFd) override {
    if (database_.away_) return away();
    pollfd wake{wakeFd, POLLIN, 0};
    constexpr int kSoon = 5;  // as if told soon
    ::poll(&wake, 1, kSoon);
    return {};
  }
  Result<void> tellOfChanges() override {
    ++database_.told;
    return {};
  }
  Result<SharedChanges> changesSince(std::uint64_t position) override {
    if (database_.away_) return away();
    const std::lock_guard lock(database_.mutex_);
    SharedChanges changes{{}, position};
    for (SharedFile& file : database_.files()) {
      const auto id = static_cast<std::uint64_t>(file.upload);
      if (id <= position) continue;
      changes.position = std::max(changes.position, id);
      changes.files.push_back(std::move(file));
    }
    return changes;
  }
  Result<SharedChanges> allFiles(const SharedFile* after, std::size_t limit) override {
    if (database_.away_) return away();
    if (after == nullptr) ++database_.compared;
    const std::lock_guard lock(database_.mutex_);
    SharedChanges all;
    for (SharedFile& file : database_.files()) {
      all.position = std::max(all.position, static_cast<std::uint64_t>(file.upload));
      const bool isBehind =
          after == nullptr || std::pair(file.host, file.path) > std::pair(after->host, after->path);
      if (isBehind && all.files.size() < limit) all.files.push_back(std::move(file));
    }
    return all;
  }
  Result<std::string> readContent(std::int64_t content, std::uint64_t part) override {
    if (database_.away_) return away();
    if (database_.spoilt_) return std::string();
    const std::lock_guard lock(database_.mutex_);
    return database_.storage_->readContent(content, part);
  }
  Result<void> report(const FleetHost& host) override {
    if (database_.away_) return away();
    const std::lock_guard lock(database_.mutex_);
    database_.host_ = host;
    ++database_.reported;
    return {};
  }
  Result<std::vector<FleetHost>> fleet() override { return std::vector<FleetHost>(); }
  Result<FleetCertificate> shareCertificate(const FleetCertificate& mine) override { return mine; }
  Result<std::vector<FleetCertificate>> certificates() override {
    return std::vector<FleetCertificate>();
  }

 private:
  static Error away() { return {ErrorCode::kBusy, "the database is away"}; }

  FakeDatabase& database_;
  int connection_ = -1;
};

inline std::unique_ptr<DatabaseLink> FakeDatabase::link() {
  return std::make_unique<FakeLink>(*this);
}

}  // namespace egalaxyd
