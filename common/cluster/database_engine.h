// A database that several hosts share: what the module behind it offers. The program loads that
// module only where [storage] asks for it, so that nobody else carries the client library.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/unique_fd.h"
#include "common/storage/storage.h"

namespace egalaxyd {

/// How to reach it. The master alone reads the password and asks name servers.
struct DatabaseAccess {
  std::string url;       ///< as configured, with addresses for the names in it
  std::string password;  ///< "": none
  std::string host;      ///< this host's name in the fleet
  std::chrono::milliseconds patience{45'000};
};

/// What is learnt on the way, for statistics. Called on the thread of the connection.
enum class DatabaseEvent {
  kReconnected,
  kFoundCommitted,  ///< a commit without an answer had happened
  kRepeated,        ///< it had not, and was run again
  kUnknown,         ///< patience ended before anybody could tell
  kRegressed,       ///< the database has forgotten what it had acknowledged
};

/// What all connections of a host know together, whichever process has them. The implementation
/// lives in shared memory; a value that makes no sense costs reconnects, nothing else.
class DatabaseSight {
 public:
  virtual ~DatabaseSight() = default;
  /// The highest timeline that a connection of this host has seen. A connection on a lower one is
  /// one to a primary that was deposed: it is dropped before it is used.
  virtual std::uint32_t timeline() const = 0;
  virtual void sawTimeline(std::uint32_t timeline) = 0;
  /// Grows when the host's own row could not be written in time: connections from before are
  /// dropped.
  virtual std::uint32_t resets() const = 0;
  virtual void reset() = 0;
  /// Once true, nothing is written any more until the service is started anew.
  virtual bool regressed() const = 0;
  virtual void regress() = 0;

  virtual void happened(DatabaseEvent event) = 0;
  virtual void committed(std::chrono::nanoseconds time) = 0;
};

/// One row of the fleet.
struct FleetHost {
  std::string name;
  std::string version;          ///< of the program
  std::int64_t generation = 0;  ///< of its configuration
  std::string digest;           ///< of configuration and certificates, lower-case hex
  std::string instance;         ///< random, of this start: two hosts of one name differ by it
  std::int64_t lag = 0;         ///< changes of content that it has not carried out
  std::int64_t started = 0;     ///< seconds since 1970, by the host's clock
  std::int64_t seen = 0;        ///< by the database's; given by it
};

/// An automatic certificate, the same on all hosts.
struct FleetCertificate {
  std::string host;         ///< as server names are written
  std::string certificate;  ///< PEM
  std::string key;          ///< PEM
  std::int64_t made = 0;    ///< seconds since 1970
};

/// A file as the database has it: the latest record of its place.
struct SharedFile {
  std::int64_t upload = 0;  ///< the record's id: a higher one is newer
  std::string host;
  std::string path;
  std::string mime;
  std::string sha256;  ///< "" once deleted
  std::uint64_t size = 0;
  std::int64_t content = 0;  ///< for readContent(); 0 once deleted
};

/// What changed, in no order, and where to ask from next.
struct SharedChanges {
  std::vector<SharedFile> files;
  std::uint64_t position = 0;
};

/// What an operator wants to know of the database.
struct DatabaseFacts {
  std::string server;         ///< "db2:5432", or the socket's folder
  std::string serverVersion;  ///< "15.20"
  std::uint32_t timeline = 0;
  std::int64_t standbys = 0;           ///< that are connected, of any kind
  int schemaVersion = 0;               ///< 0: no tables yet
  bool waitsForStandby = false;        ///< synchronous_standby_names is not empty
  std::optional<std::string> standby;  ///< the synchronous one's name; nullopt: not shown, or none
  std::uint64_t contentBytes = 0;      ///< about
};

/// A connection for what is not a worker's write: the follower, the fleet, tools. One thread at a
/// time, never across a fork; blocks, each call no longer than its deadlines. After kBusy (the
/// database is away) the next call connects anew.
class DatabaseLink {
 public:
  virtual ~DatabaseLink() = default;

  /// What DatabaseEngine::migrate() would refuse, in its words. Changes nothing.
  virtual Result<void> examine() = 0;
  virtual Result<DatabaseFacts> facts() = 0;

  /// Whether the connection is another one than at the last call of this: what was read by position
  /// before means nothing then, and everything is compared.
  virtual bool isNew() = 0;
  /// Waits until an upload was told of (LISTEN), `most` is over, or `wakeFd` can be read.
  virtual Result<void> waitForChanges(std::chrono::milliseconds most, int wakeFd) = 0;
  /// Tells all hosts that content has changed: a statement of its own, after the commit.
  virtual Result<void> tellOfChanges() = 0;
  /// Latest records whose transactions may have ended since `position`; those that are told twice
  /// are told as they are.
  virtual Result<SharedChanges> changesSince(std::uint64_t position) = 0;
  /// All latest records, by host and path, behind `after` (nullptr: from the first), and the
  /// position to follow from: take the first page's.
  virtual Result<SharedChanges> allFiles(const SharedFile* after, std::size_t limit) = 0;
  /// As Storage::readContent().
  virtual Result<std::string> readContent(std::int64_t content, std::uint64_t part) = 0;

  /// Writes this host's row, durably on the standby too. kExists: another instance has the name.
  virtual Result<void> report(const FleetHost& host) = 0;
  virtual Result<std::vector<FleetHost>> fleet() = 0;

  /// Stores the certificate where its host has none, and returns the one that all hosts use.
  virtual Result<FleetCertificate> shareCertificate(const FleetCertificate& mine) = 0;
  virtual Result<std::vector<FleetCertificate>> certificates() = 0;
};

/// How many rows of each kind a copy has brought; what was there already is not counted.
struct CopiedRows {
  std::uint64_t users = 0;
  std::uint64_t metadata = 0;
  std::uint64_t uploads = 0;
  std::uint64_t versions = 0;
  std::uint64_t contents = 0;
};

/// Who has the files that a SQLite database tells of.
class UploadFolders {
 public:
  virtual ~UploadFolders() = default;
  /// The file of a latest record, to be read. kNotFound: it is not there.
  virtual Result<UniqueFd> open(const UploadRecord& record) = 0;
  /// Its content could not be taken, so the record is copied as one of the past: `why` begins with
  /// what the file is.
  virtual void leftOut(const UploadRecord& record, const std::string& why) = 0;
};

/// The module. It lives as long as the process, and holds nothing that a fork could harm.
class DatabaseEngine {
 public:
  virtual ~DatabaseEngine() = default;

  /// What is wrong with a url, in words for the operator: unreadable, a password in it, options
  /// that egalaxyd sets itself, one host twice.
  virtual Result<void> checkUrl(std::string_view url) const = 0;
  /// With addresses for the names of hosts (hostaddr). Waits for name servers.
  virtual Result<std::string> resolve(std::string_view url) const = 0;
  /// Whether it reaches the database by Unix sockets alone; else the TCP ports it uses.
  virtual std::vector<std::uint16_t> ports(std::string_view url) const = 0;

  /// Makes tables, or adds what is new. Only one host at a time does. kInvalid with a sentence for
  /// what an operator must mend: encoding, collation, a schema that is too new, PgBouncer.
  virtual Result<void> migrate(const DatabaseAccess& access) const = 0;

  /// A connection that writes. `lane` is its name in the fleet, "worker/number", the same after a
  /// restart: its row tells whether a commit without an answer has happened. kBusy: the database is
  /// away. `sight` must outlive it.
  virtual Result<std::unique_ptr<Storage>> openStorage(const DatabaseAccess& access,
                                                       std::string_view lane,
                                                       const StorageLimits& limits,
                                                       DatabaseSight& sight) const = 0;
  /// Connects at its first call. `sight` must outlive it.
  virtual Result<std::unique_ptr<DatabaseLink>> openLink(const DatabaseAccess& access,
                                                         DatabaseSight& sight) const = 0;

  /// All that the SQLite database `file` of a stopped server keeps, into the shared one, in one
  /// transaction. kExists where that holds what the file does not, unless `merge`: then first_seen
  /// is the earlier, last_seen the later, visits are added up, the newest metadata stays, uploads
  /// are appended and the later one is the latest of its place. What a file brought before it does
  /// not bring twice: of users whose first visit is that of an earlier copy, later visits alone
  /// count. Of one thread; blocks as long as it takes.
  virtual Result<CopiedRows> copyFrom(const DatabaseAccess& access,
                                      const std::filesystem::path& file, bool merge,
                                      UploadFolders& folders) const = 0;
  /// The way back, into an empty database that migrateStorage() has made: all but the content of
  /// latest records, which is in the folders.
  virtual Result<CopiedRows> copyTo(const DatabaseAccess& access,
                                    const std::filesystem::path& file) const = 0;
};

/// The function that the module exports, by this name.
inline constexpr const char* kDatabaseEngineSymbol = "egalaxyd_database_engine";
using DatabaseEngineFunction = const DatabaseEngine* (*)();

/// Loads the module, once for the process: beside the plug-ins' folder of the installation, or from
/// the build's. kNotFound names the package that brings it.
Result<const DatabaseEngine*> loadDatabaseEngine();

}  // namespace egalaxyd
