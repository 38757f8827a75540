#include "worker/base/users.h"

#include <chrono>
#include <utility>

#include "common/base/poco_seam.h"
#include "worker/base/storage_lane.h"

namespace egalaxyd {
namespace {

/// Copies of a certificate's two fingerprints and of its own name, for the storage lane.
struct Names {
  explicit Names(const ClientIdentity& identity)
      : certificate(identity.fingerprint),
        key(identity.keyFingerprint),
        claimed(claimedName(identity.commonName)) {}
  std::string certificate;
  std::string key;
  std::string claimed;
};

/// Calls `read(storage, user)` for the certificate's user; gives `none` if there is no such user.
template <class T, class Read>
auto ofKnownUser(const ClientIdentity& identity, T none, Read read) {
  return [names = Names(identity), none = std::move(none),
          read = std::move(read)](Storage& storage) -> Result<T> {
    const auto user = storage.findUser(names.certificate, names.key);
    if (!user) return user.error();
    if (!*user) return none;
    return read(storage, **user);
  };
}

/// What a job for the certificate's user changes.
StorageKeys keysOf(const StorageLane& lane, const ClientIdentity& identity) {
  return lane.keys([&] { return StorageKeys{userKey(identity.keyFingerprint)}; });
}

}  // namespace

void Users::admit(const ClientIdentity& identity) {
  storage_.recordVisit({.certificate = identity.fingerprint,
                        .key = identity.keyFingerprint,
                        .admitted = true,
                        .claimed = claimedName(identity.commonName)});
}

Users::Answer<std::optional<User>> Users::find(const ClientIdentity& identity) {
  return storage_.read(
      ofKnownUser(identity, std::optional<User>(),
                  [](Storage& storage, const std::string& user) -> Result<std::optional<User>> {
                    auto shown = storage.showUser(user);
                    if (!shown) return shown.error();
                    return std::optional(std::move(*shown));
                  }));
}

Users::Answer<Users::Metadata> Users::readAll(const ClientIdentity& identity) {
  return storage_.read(ofKnownUser(
      identity, Metadata(),
      [](Storage& storage, const std::string& user) { return storage.readMetadata(user); }));
}

Users::Answer<std::optional<std::string>> Users::read(const ClientIdentity& identity,
                                                      std::string key) {
  return storage_.read(
      ofKnownUser(identity, std::optional<std::string>(),
                  [key = std::move(key)](Storage& storage, const std::string& user) {
                    return storage.readMetadata(user, key);
                  }));
}

Users::Answer<void> Users::write(const ClientIdentity& identity, std::string key,
                                 std::string value) {
  return storage_.write(
      [names = Names(identity), key = std::move(key),
       value = std::move(value)](Storage& storage) -> Result<void> {
        const auto user =
            storage.resolveUser(names.certificate, names.key, wallNow(), names.claimed);
        if (!user) return user.error();
        return storage.writeMetadata(*user, key, value, wallNow());
      },
      keysOf(storage_, identity));
}

Users::Answer<void> Users::update(const ClientIdentity& identity, std::string key,
                                  std::function<std::string(std::optional<std::string>)> change) {
  return storage_.write(
      [names = Names(identity), key = std::move(key),
       change = std::move(change)](Storage& storage) -> Result<void> {
        const auto user =
            storage.resolveUser(names.certificate, names.key, wallNow(), names.claimed);
        if (!user) return user.error();
        auto value = storage.readMetadata(*user, key);
        if (!value) return value.error();
        auto changed = contained("a change of metadata", [&] { return change(std::move(*value)); });
        if (!changed) return changed.error();
        return storage.writeMetadata(*user, key, *changed, wallNow());
      },
      keysOf(storage_, identity));
}

Users::Answer<void> Users::remove(const ClientIdentity& identity, std::string key) {
  return storage_.write(
      [names = Names(identity), key = std::move(key)](Storage& storage) -> Result<void> {
        const auto user = storage.findUser(names.certificate, names.key);
        if (!user) return user.error();
        if (!*user) return {};
        return storage.removeMetadata(**user, key);
      },
      keysOf(storage_, identity));
}

Users::Answer<std::vector<Users::Entry>> Users::findAll(std::string prefix, std::size_t limit) {
  return storage_.read(
      [prefix = std::move(prefix), limit](Storage& storage) -> Result<std::vector<Entry>> {
        auto found = storage.findMetadata(prefix, limit);
        if (!found) return found.error();
        std::vector<Entry> entries;
        for (MetadataEntry& entry : *found) {
          entries.push_back({std::move(entry.user), std::move(entry.key), std::move(entry.value),
                             entry.updated.time_since_epoch().count()});
        }
        return entries;
      });
}

}  // namespace egalaxyd
