// What outlives a worker: certificate-keyed users, their metadata, and the records of uploads.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/base/result.h"

namespace egalaxyd {

using WallTime = std::chrono::sys_seconds;
inline WallTime wallNow() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

/// Longest value and longest key of a user's metadata, in bytes.
inline constexpr std::size_t kMaxMetadataBytes = 64 * 1024;
inline constexpr std::size_t kMaxMetadataKeyBytes = 255;
/// Longest name that is kept of what a certificate calls itself.
inline constexpr std::size_t kMaxClaimedNameBytes = 64;

struct User {
  std::string id;  ///< SHA-256 of the certificate first seen: 64 lower-case hex digits
  WallTime firstSeen{};
  WallTime lastSeen{};
  std::uint64_t visits = 0;
  std::vector<std::string> keys = {};  ///< SHA-256 of the user's public keys, sorted
  /// What the certificate last called itself, see claimedName(): anybody can claim any.
  std::string claimed = {};
};

/// What went with a user, and the upload records that stay.
struct ForgottenUser {
  std::uint64_t keys = 0;
  std::uint64_t metadata = 0;
  std::uint64_t uploads = 0;
};

/// One value of one user's metadata.
struct MetadataEntry {
  std::string user;  ///< id
  std::string key;
  std::string value;
  WallTime updated{};
};

/// A certificate's visits since they were last handed over.
struct Visit {
  std::string certificate;  ///< its fingerprint
  std::string key;          ///< its public key's fingerprint
  std::uint64_t count = 0;
  WallTime last{};
  bool admitted = false;     ///< by a site that lets some certificates in only: it makes a user
  std::string claimed = {};  ///< as User::claimed
};

struct StorageLimits {
  /// Users that come to be within one minute, whoever makes them; 0: no limit.
  std::uint32_t newUsersPerMinute = 0;
};

enum class UploadOutcome {
  kStored,    ///< a new file
  kReplaced,  ///< the content of a file that was there
  kDeleted,
  kRefused,  ///< nothing changed; `why` says it
  kFound,    ///< no upload: content that was there without one, when an upload replaced it
};

/// One upload of a client.
struct UploadRecord {
  std::int64_t id = 0;  ///< given by recordUpload(), growing
  WallTime time{};
  std::string protocol = {};  ///< "titan", "spartan"
  std::string host = {};
  std::string path = {};    ///< decoded, begins with "/"
  std::string user = {};    ///< id; "" when anonymous, or forgotten since
  std::string writer = {};  ///< the operator's name for the certificate or token then; may be empty
  std::string client = {};  ///< address as the log may show it; may be empty
  std::string mime = {};
  std::uint64_t size = 0;           ///< bytes that the file has since; 0 once deleted
  std::uint64_t blocks = 1;         ///< that it counts besides; 0: it counts as no file
  std::string sha256 = {};          ///< lower-case hex; "" once deleted
  std::string previousSha256 = {};  ///< "" when there was no file before
  UploadOutcome outcome = UploadOutcome::kStored;
  std::string why = {};  ///< as the client was told; only of refused ones
  // Of pending ones alone: whose death ends them, and what it leaves.
  std::int64_t worker = 0;      ///< the worker's id; 0: not known
  std::string unfinished = {};  ///< the name beside the file that holds content on its way
};

/// What a file, and each folder that uploads may have made for it, counts besides its bytes.
inline constexpr std::uint64_t kBlockBytes = 4096;

/// How much may be kept at or beneath a path.
struct UploadQuota {
  static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
  std::string prefix = {};
  std::uint64_t userBytes = kUnlimited;  ///< of one user; those without one are one together
  std::uint64_t allBytes = kUnlimited;   ///< of all users
  std::uint64_t files = kUnlimited;      ///< of all users
  /// Whether it bounds what all users keep together.
  bool isShared() const { return allBytes != kUnlimited || files != kUnlimited; }
};

/// What is kept at or beneath a path: bytes with kBlockBytes for each block, and files.
struct KeptUploads {
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
  bool operator==(const KeptUploads&) const = default;
};

/// Content that an announced upload is about to replace or delete.
struct OldContent {
  std::string mount = {};  ///< path of the mount, "" for "/"
  std::string sha256 = {};
  std::uint64_t size = 0;
  WallTime written{};                    ///< when the file was last written to
  std::optional<WallTime> expires = {};  ///< nullopt: it does not go by time
  std::int64_t content = 0;              ///< appendContent()'s, all but `rest`; 0: there is none
  std::string rest = {};
};

/// Earlier content of a file.
struct Version {
  std::int64_t upload = 0;      ///< the record of who brought it
  std::int64_t replacedBy = 0;  ///< the record of what replaced or deleted it
  std::int64_t content = 0;     ///< for readContent()
  std::uint64_t size = 0;
  std::string sha256 = {};
};

/// How many versions stay.
struct KeepRules {
  std::uint64_t count = std::numeric_limits<std::int64_t>::max();  ///< of each file
  std::uint64_t bytes = 0;  ///< of all files of the mount, with kBlockBytes for each version
};

/// What appendContent() takes at once, and readContent() answers.
inline constexpr std::size_t kContentPart = 64 * 1024;
/// Content on its way that nobody has finished for so long is swept.
inline constexpr std::chrono::hours kUnfinishedContent{24};
/// The only version of a file stays for so long, whatever KeepRules::bytes says.
inline constexpr std::chrono::hours kProtectedVersion{24};

/// What an upload is measured against its quota with.
enum class QuotaVerdict { kFits, kUserIsFull, kAllIsFull, kTooManyFiles };

/// Refused uploads that are remembered; older ones are forgotten.
inline constexpr std::int64_t kMaxRefusedUploads = 10'000;

/// Empty fields and the epoch match everything.
struct UploadFilter {
  std::string host = {};
  std::string path = {};    ///< this path and all beneath it
  std::string user = {};    ///< id
  std::string writer = {};  ///< as UploadRecord::writer
  WallTime since{};
  std::size_t limit = 100;
};

enum class Access { kRead, kWrite };

/// What a transaction is about to change, named before it begins: an engine that has no one lock
/// for all takes these in one order, so that no two transactions wait for each other, and what one
/// has read under its key stays true until its commit. Made by the functions below alone.
using StorageKeys = std::vector<std::string>;
/// A user, by any of the public keys that the job may meet.
std::string userKey(std::string_view keyFingerprint);
/// A file that uploads change.
std::string placeKey(std::string_view host, std::string_view path);
/// What is kept at or beneath a prefix, where all users together have a quota, or those without
/// one.
std::string quotaKey(std::string_view host, std::string_view prefix);

/// The content that an announced upload brings, where the storage holds content.
struct NewContent {
  std::int64_t content = 0;  ///< appendContent()'s, all but `rest`; 0: there is none
  std::string rest = {};
};

/// One thread at a time. Each operation happens as a whole or, when it answers an error, not at
/// all; outside a transaction it is durable when it returns. What is read is in its range, whatever
/// the engine's file holds: times from 1970 to 9999, no size or count below 0. Texts may be any
/// bytes, but no more of them than a server writes. Errors: kInvalid and kNotFound are
/// the caller's, as is what else an operation names; all others are the engine's, and then
/// trouble() says the same.
class Storage {
 public:
  virtual ~Storage() = default;

  /// Whether the content of uploads lives here, in one commit with its record, and the files are
  /// copies of it (an engine that several hosts share); else it lives in the files alone.
  virtual bool holdsContent() const { return false; }
  /// Whether addVisits() is a cheap commit of its own, outside other transactions.
  virtual bool countsVisitsApart() const { return false; }

  /// Transactions nest: the outermost makes all of it durable, an inner one can be taken back by
  /// itself. One begun with kRead refuses writes (kInvalid). Use atomically() where it fits. `keys`
  /// are of the outermost that writes: what it changes.
  Result<void> begin(Access access) { return begin(access, {}); }
  virtual Result<void> begin(Access access, const StorageKeys& keys) = 0;
  /// After an error everything since the matching begin() has been rolled back. Of an engine that
  /// several hosts share, the outermost may also say kAgain (as any operation may, and then
  /// commit() does: the transaction is gone, and may be run anew) or kUnknown (nobody can tell
  /// whether it happened).
  virtual Result<void> commit() = 0;
  virtual void rollback() = 0;

  /// What kept the engine from its work in this outermost transaction (or since the last), if
  /// anything did.
  virtual std::optional<Error> trouble() const = 0;

  /// Whether the database is the one that has acknowledged what was written: for a storage that has
  /// been idle. trouble() tells of an Error. Not within a transaction.
  virtual Result<void> look() { return {}; }

  /// The user that this certificate, or an earlier one with the same key, belongs to.
  virtual Result<std::optional<std::string>> findUser(std::string_view certificateFingerprint,
                                                      std::string_view keyFingerprint) = 0;
  /// As findUser(), and makes one where there is none, who is `claimed`: for what is about to be
  /// kept. kBusy where that would be more than StorageLimits::newUsersPerMinute.
  virtual Result<std::string> resolveUser(std::string_view certificateFingerprint,
                                          std::string_view keyFingerprint, WallTime now,
                                          std::string_view claimed = {}) = 0;
  /// Counts visits of users. An admitted one makes a user who is new, as long as the limit on new
  /// ones allows it; other visits of strangers leave no trace.
  virtual Result<void> addVisits(std::span<const Visit> visits) = 0;

  virtual Result<std::map<std::string, std::string>> readMetadata(std::string_view user) = 0;
  virtual Result<std::optional<std::string>> readMetadata(std::string_view user,
                                                          std::string_view key) = 0;
  /// All users' metadata under keys that begin with `prefix`: newest first, of one second by user
  /// and key.
  virtual Result<std::vector<MetadataEntry>> findMetadata(std::string_view prefix,
                                                          std::size_t limit) = 0;
  /// kInvalid for a key or value that checkMetadata() refuses, kNotFound for an unknown user.
  /// The user counts as seen at `now`.
  virtual Result<void> writeMetadata(std::string_view user, std::string_view key,
                                     std::string_view value, WallTime now) = 0;
  /// What is not there is removed already.
  virtual Result<void> removeMetadata(std::string_view user, std::string_view key) = 0;
  // What expires is left to another process that is at it: 0 then.

  /// Removes the metadata of users who were last seen before `lastSeen`, at most `most` values;
  /// returns how many.
  virtual Result<std::uint64_t> expireMetadata(WallTime lastSeen, std::size_t most) = 0;
  /// Removes users who were last seen before `lastSeen` and for whom nothing is kept, neither
  /// metadata nor the record of an upload that was not refused; at most `most` of them. Returns how
  /// many.
  virtual Result<std::uint64_t> expireUsers(WallTime lastSeen, std::size_t most) = 0;

  /// Last seen first; of one second, in the order of their ids.
  virtual Result<std::vector<User>> listUsers(std::size_t limit) = 0;
  /// By id or the beginning of one: kNotFound, or kInvalid where it fits several.
  virtual Result<User> showUser(std::string_view idOrPrefix) = 0;
  /// With keys and metadata, by the whole id. Upload records stay, without the user, the writer and
  /// the address. kNotFound.
  virtual Result<ForgottenUser> forgetUser(std::string_view id) = 0;

  /// Returns the record's id. A user who has been forgotten meanwhile is left out. Only a file that
  /// changed has a new latest record; of refused ones, the newest kMaxRefusedUploads stay.
  virtual Result<std::int64_t> recordUpload(const UploadRecord& record) = 0;
  /// Notes what is about to happen to a file, and returns the note's id; settleUpload() or
  /// dropUpload() must follow. No sum and a size: the content is not whole yet.
  virtual Result<std::int64_t> announceUpload(const UploadRecord& record) = 0;
  /// It has happened: the note becomes a record, the latest of its path, whose id is returned.
  virtual Result<std::int64_t> settleUpload(std::int64_t pending, UploadOutcome outcome,
                                            std::string_view previousSha256) = 0;
  /// The new content of one that was announced without its sum is whole. kNotFound.
  virtual Result<void> completeUpload(std::int64_t pending, std::string_view sha256) = 0;
  /// What the announced upload brings, before it is settled: from then on the latest record of its
  /// path has this content, and what it replaces loses its own unless a version keeps that. Such an
  /// engine's keepVersion() takes an OldContent without content and rest: it has it already.
  /// kInvalid where !holdsContent(). kNotFound.
  virtual Result<void> bringContent(std::int64_t pending, const NewContent& content, WallTime now);
  /// The content of a record that is the latest of its path; nullopt: none is held, or it was
  /// deleted. readContent() reads it. nullopt where !holdsContent().
  virtual Result<std::optional<std::int64_t>> contentOf(std::int64_t upload);
  /// It will not happen: the note goes, and its user where that came to be with it and nothing else
  /// is kept.
  virtual Result<void> dropUpload(std::int64_t pending) = 0;
  /// Announced, and neither settled nor dropped: the file may be the old one or the new. By the
  /// notes' ids, those above `after`; what the records say of the outcome means nothing.
  virtual Result<std::vector<UploadRecord>> pendingUploads(std::int64_t after,
                                                           std::size_t limit) = 0;
  /// Newest first; of one second, the last recorded first.
  virtual Result<std::vector<UploadRecord>> listUploads(const UploadFilter& filter) = 0;
  virtual Result<UploadRecord> showUpload(std::int64_t id) = 0;  ///< kNotFound
  virtual Result<std::optional<UploadRecord>> latestUpload(std::string_view host,
                                                           std::string_view path) = 0;
  /// The files at or beneath `prefix` whose latest record is of `user`, deleted ones left out, and
  /// what the user has announced: what counts against a quota. Those without a user ("") are one
  /// together; nullopt: all users. The first call for a prefix within a transaction that writes
  /// looks at all its records, and begins to keep the sums.
  virtual Result<KeptUploads> keptUploads(std::string_view host, std::string_view prefix,
                                          std::optional<std::string_view> user) = 0;

  /// Adds 1 to kContentPart bytes to content that is on its way to a keepVersion(), and returns its
  /// id; 0 begins new content. All but the last of its parts are whole. kNotFound: it was swept.
  virtual Result<std::int64_t> appendContent(std::int64_t content, std::string_view bytes,
                                             WallTime now) = 0;
  /// Keeps what the announced upload is about to replace or delete (nullopt: nothing), in place of
  /// what an earlier call for it kept: settleUpload() makes a version of it, dropUpload() forgets
  /// it. Content that the latest record does not tell of gets a record of its own
  /// (UploadOutcome::kFound). kNotFound: there is no such upload, or its content was swept.
  virtual Result<void> keepVersion(std::int64_t pending, const std::optional<OldContent>& old,
                                   WallTime now) = 0;
  /// Forgets the oldest versions of the announced upload's file and of `mount` until `rules` are
  /// met, with what is kept for this upload. kNoSpace, and nothing changed: they cannot be met,
  /// since the only version of a file is protected for kProtectedVersion. Where several hosts share
  /// the engine, the mount's rule is left to whoever is at it already.
  virtual Result<void> pruneVersions(std::int64_t pending, std::string_view mount,
                                     const KeepRules& rules, WallTime now) = 0;
  /// Forgets versions whose time has passed; returns how many.
  virtual Result<std::uint64_t> expireVersions(WallTime now) = 0;
  /// Frees the room of content that no version has, some `most` parts of it, and of what has been
  /// on its way since before `begun`. Returns how many parts it freed.
  virtual Result<std::uint64_t> sweepContents(WallTime begun, std::size_t most) = 0;
  /// A version with the content that the record's upload brought or, for a deletion, took away;
  /// nullopt: none is kept. kNotFound: no such record.
  virtual Result<std::optional<Version>> findVersion(std::int64_t upload) = 0;
  /// What the record's upload replaced or deleted; nullopt: it is not kept.
  virtual Result<std::optional<Version>> replacedVersion(std::int64_t upload) = 0;
  /// A part of a version's content, counted from 0; "" behind the last.
  virtual Result<std::string> readContent(std::int64_t content, std::uint64_t part) = 0;
};

/// Whether `quota` leaves room for `record`, which is not announced yet, in place of the latest
/// upload of its path.
Result<QuotaVerdict> measureUpload(Storage& storage, const UploadRecord& record,
                                   const UploadQuota& quota);

/// Runs `body`, which returns a Result, as one transaction: committed when it answers a value,
/// rolled back when it answers an error. `keys` as begin() takes them.
template <class Body>
std::invoke_result_t<Body> atomically(Storage& storage, Access access, Body body,
                                      const StorageKeys& keys = {}) {
  if (Result<void> begun = storage.begin(access, keys); !begun) return std::move(begun).error();
  std::invoke_result_t<Body> result = body();
  if (!result) {
    storage.rollback();
    return result;
  }
  if (Result<void> committed = storage.commit(); !committed) return std::move(committed).error();
  return result;
}

/// 64 lower-case hex digits, or kInvalid.
Result<void> checkFingerprint(std::string_view fingerprint);
/// A key of 1 to kMaxMetadataKeyBytes in UTF-8 and a value of at most kMaxMetadataBytes, or
/// kInvalid.
Result<void> checkMetadata(std::string_view key, std::string_view value);
/// What is kept of a name that a certificate gives itself: its beginning, fit to be shown.
std::string claimedName(std::string_view commonName);
/// What resolveUser() answers at the limit.
Error tooManyNewUsers(const StorageLimits& limits);
/// Whether `path` is `prefix` or beneath it, on segment borders; "" and "/" cover everything.
bool isBeneath(std::string_view path, std::string_view prefix);

std::string_view toString(UploadOutcome outcome);
/// The outcome of that name; kStored for one that is not known.
UploadOutcome uploadOutcome(std::string_view name);

}  // namespace egalaxyd
