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
#include "common/base/unique_function.h"
#include "common/storage/storage.h"
#include "worker/base/client_identity.h"

namespace egalaxyd {

class StorageThread;

/// One worker's way to the users' storage. Loop thread only. Every `done` is called exactly once,
/// on the loop: later, or at once where too many jobs wait already (kBusy). A storage that is busy,
/// full or broken is an Error there, and a site then answers 40.
class Users {
 public:
  explicit Users(StorageThread& storage) : storage_(storage) {}

  using Metadata = std::map<std::string, std::string>;
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;

  /// A site that lets some certificates in only has let this one in: it has a user from now on, up
  /// to 1 s late, and unless too many came to be lately.
  void admit(const ClientIdentity& identity);
  /// The certificate's user; nullopt for one for whom nothing is kept. Visits come up to 1 s late.
  void find(const ClientIdentity& identity, Done<std::optional<User>> done);
  /// All metadata of the certificate's user; empty for one who is not known.
  void readAll(const ClientIdentity& identity, Done<Metadata> done);
  void read(const ClientIdentity& identity, std::string key, Done<std::optional<std::string>> done);
  /// When `done` gets success, the value survives a power cut. At most kMaxMetadataKeyBytes and
  /// kMaxMetadataBytes (common/storage/storage.h): kInvalid beyond. kBusy also where it would be
  /// one new user too many (users.new_per_minute).
  void write(const ClientIdentity& identity, std::string key, std::string value, Done<void> done);
  /// Reads, changes and writes as one step, whatever other workers do meanwhile. `change` gets the
  /// value of now (nullopt: none) and runs on the storage thread: it may touch only what it
  /// captured by value. An exception of it is kIo.
  void update(const ClientIdentity& identity, std::string key,
              std::function<std::string(std::optional<std::string>)> change, Done<void> done);
  void remove(const ClientIdentity& identity, std::string key, Done<void> done);

  struct Entry {
    std::string user;  ///< id
    std::string key;
    std::string value;
    std::int64_t updated = 0;  ///< seconds since 1970
  };
  /// What all users keep under keys that begin with `prefix`, newest first, at most `limit`.
  void findAll(std::string prefix, std::size_t limit, Done<std::vector<Entry>> done);

 private:
  StorageThread& storage_;
};

/// The user behind one request; see Request::user().
class RequestUser {
 public:
  RequestUser(Users& users, std::shared_ptr<const ClientIdentity> identity)
      : users_(&users), identity_(std::move(identity)) {}

  const ClientIdentity& identity() const { return *identity_; }
  void find(Users::Done<std::optional<User>> done) const {
    users_->find(*identity_, std::move(done));
  }
  void readAll(Users::Done<Users::Metadata> done) const {
    users_->readAll(*identity_, std::move(done));
  }
  void read(std::string key, Users::Done<std::optional<std::string>> done) const {
    users_->read(*identity_, std::move(key), std::move(done));
  }
  void write(std::string key, std::string value, Users::Done<void> done) const {
    users_->write(*identity_, std::move(key), std::move(value), std::move(done));
  }
  void update(std::string key, std::function<std::string(std::optional<std::string>)> change,
              Users::Done<void> done) const {
    users_->update(*identity_, std::move(key), std::move(change), std::move(done));
  }
  void remove(std::string key, Users::Done<void> done) const {
    users_->remove(*identity_, std::move(key), std::move(done));
  }

 private:
  Users* users_;
  std::shared_ptr<const ClientIdentity> identity_;
};

}  // namespace egalaxyd
