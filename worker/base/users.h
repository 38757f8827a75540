// Users as sites meet them: the metadata of whoever holds the client certificate.
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

/// One worker's way to the users' storage. Loop thread only. What each returns is awaited in a
/// coroutine, or given to a function by then(). A storage that is busy, full or broken, or for
/// which too many jobs wait already (kBusy), is an Error, and a site then answers 40.
class Users {
 public:
  explicit Users(StorageLane& storage) : storage_(storage) {}

  using Metadata = std::map<std::string, std::string>;
  template <class T>
  using Answer = Async<Result<T>>;

  /// A site that lets some certificates in only has let this one in: it has a user from now on, up
  /// to 1 s late, and unless too many came to be lately.
  void admit(const ClientIdentity& identity);
  /// The certificate's user; nullopt for one for whom nothing is kept. Visits come up to 1 s late.
  Answer<std::optional<User>> find(const ClientIdentity& identity);
  /// All metadata of the certificate's user; empty for one who is not known.
  Answer<Metadata> readAll(const ClientIdentity& identity);
  Answer<std::optional<std::string>> read(const ClientIdentity& identity, std::string key);
  /// After success the value survives a power cut. At most kMaxMetadataKeyBytes and
  /// kMaxMetadataBytes (common/storage/storage.h): kInvalid beyond. kBusy also where it would be
  /// one new user too many (users.new_per_minute).
  Answer<void> write(const ClientIdentity& identity, std::string key, std::string value);
  /// Reads, changes and writes as one step, whatever other workers do meanwhile. `change` gets the
  /// value of now (nullopt: none) and runs on the storage lane: it may touch only what it
  /// captured by value. An exception of it is kIo.
  Answer<void> update(const ClientIdentity& identity, std::string key,
                      std::function<std::string(std::optional<std::string>)> change);
  Answer<void> remove(const ClientIdentity& identity, std::string key);

  struct Entry {
    std::string user;  ///< id
    std::string key;
    std::string value;
    std::int64_t updated = 0;  ///< seconds since 1970
  };
  /// What all users keep under keys that begin with `prefix`, newest first, at most `limit`.
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
