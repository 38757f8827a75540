// Users as sites see them: metadata that belongs to the holder of a client certificate.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/storage/storage.h"
#include "worker/base/client_identity.h"
#include "worker/base/task.h"

namespace egalaxyd {

class StorageLane;

/// A worker's access to the users' storage. Loop thread only. Await the results in a coroutine, or
/// pass a function to then(). If the storage is busy, full or broken, or too many jobs are queued
/// (kBusy), the result is an Error, and a site then answers 40 or 41.
class Users {
 public:
  explicit Users(StorageLane& storage) : storage_(storage) {}

  using Metadata = std::map<std::string, std::string>;
  template <class T>
  using Answer = Async<Result<T>>;

  /// A site that requires a certificate has let this one in: its user is created, up to 1 s later,
  /// unless users.new_per_minute is exceeded.
  void admit(const ClientIdentity& identity);
  /// The certificate's user; nullopt if nothing is kept for it. Its visits may be 1 s out of date.
  Answer<std::optional<User>> find(const ClientIdentity& identity);
  /// All metadata of the certificate's user; empty if there is no such user.
  Answer<Metadata> readAll(const ClientIdentity& identity);
  Answer<std::optional<std::string>> read(const ClientIdentity& identity, std::string key);
  /// On success the value is durable: it survives a power cut. kInvalid if the key exceeds
  /// kMaxMetadataKeyBytes or the value kMaxMetadataBytes (common/storage/storage.h). kBusy also if
  /// it would create more new users than users.new_per_minute allows.
  Answer<void> write(const ClientIdentity& identity, std::string key, std::string value);
  /// Atomic read, change and write, across all workers. `change` gets the current value (nullopt:
  /// none) and runs on the storage lane: it may touch only what it captured by value. An exception
  /// of it becomes kIo.
  Answer<void> update(const ClientIdentity& identity, std::string key,
                      std::function<std::string(std::optional<std::string>)> change);
  Answer<void> remove(const ClientIdentity& identity, std::string key);

  struct Entry {
    std::string user;  ///< id
    std::string key;
    std::string value;
    std::int64_t updated = 0;  ///< seconds since 1970
  };
  /// All users' entries whose keys begin with `prefix`, newest first, at most `limit`.
  Answer<std::vector<Entry>> findAll(std::string prefix, std::size_t limit);

 private:
  StorageLane& storage_;
};

/// The user behind one request; see Request::user().
class RequestUser {
 public:
  RequestUser(Users& users, std::shared_ptr<const ClientIdentity> identity)
      : users_(&users), identity_(std::move(identity)) {}

  const ClientIdentity& identity() const { return *identity_; }
  Users::Answer<std::optional<User>> find() const { return users_->find(*identity_); }
  Users::Answer<Users::Metadata> readAll() const { return users_->readAll(*identity_); }
  Users::Answer<std::optional<std::string>> read(std::string key) const {
    return users_->read(*identity_, std::move(key));
  }
  Users::Answer<void> write(std::string key, std::string value) const {
    return users_->write(*identity_, std::move(key), std::move(value));
  }
  Users::Answer<void> update(std::string key,
                             std::function<std::string(std::optional<std::string>)> change) const {
    return users_->update(*identity_, std::move(key), std::move(change));
  }
  Users::Answer<void> remove(std::string key) const {
    return users_->remove(*identity_, std::move(key));
  }

 private:
  Users* users_;
  std::shared_ptr<const ClientIdentity> identity_;
};

}  // namespace egalaxyd
