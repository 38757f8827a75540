// Who may hold memory: places for exchanges, shared out by address, and who has to give one back
// while others wait. Pure bookkeeping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/loop/event_loop.h"
#include "common/wire/ip_address.h"
#include "worker/base/intrusive_list.h"

namespace egalaxyd {

/// How many exchanges there may be. In its handshake one costs some 50 KiB, later some 15.
struct AdmissionLimits {
  std::size_t handshakes;  ///< of this worker
  std::size_t own;         ///< of this worker, whatever the others have
  std::size_t all;         ///< of all workers together, beyond `own`
};

/// A fair queue by address (IPv6: by /64), for handshakes and all that follows them.
///
/// Addresses take turns; those that hold nothing have every other turn for themselves. An address
/// may hold a third of what is free: one that comes alone a quarter of all, each of many the less
/// the more there are. So places stay free for those who come, however many wait. An address that
/// waits alone may have all but what is kept for newcomers. One whose handshakes cost much has its
/// turn when nobody else who waits may have a place.
///
/// Outlives its slots.
class Admission {
  struct Client;
  struct Entry;

 public:
  /// How a holder keeps up; see Pace.
  struct Standing {
    bool awaited = false;  ///< the server waits for the client, not the client for the server
    Clock::duration behind{};
    Clock::duration waited{};
  };

  /// Who waits for a slot, and then holds one.
  class Holder {
   public:
    /// Only of one that holds.
    virtual Standing standing(Clock::time_point now) = 0;
    /// Its turn has come: its slot is one from now on.
    virtual void admitted() = 0;
    /// It shall give its slot to others that wait: it ends soon, or at once.
    virtual void yield() = 0;

   protected:
    ~Holder() = default;
  };

  /// A place in the queue, then the right to be an exchange; given back when it is destroyed.
  /// Move-only; an empty one stands for nothing, and does nothing.
  class Slot {
   public:
    Slot() = default;
    explicit operator bool() const { return entry_ != nullptr; }
    /// The handshake is done, which took so long; zero where there was none. Once, after
    /// admitted().
    void established(Clock::duration took, Clock::time_point now);
    /// When somebody of its address last finished a handshake.
    Clock::time_point lastServed() const;

   private:
    friend class Admission;
    struct GiveBack {
      void operator()(Entry* entry) const noexcept;
    };
    explicit Slot(Entry* entry) : entry_(entry) {}
    std::unique_ptr<Entry, GiveBack> entry_;
  };

  /// `freed` is called when a slot that was one is given back; it throws nothing.
  explicit Admission(
      AdmissionLimits limits, std::function<void()> freed = [] {})
      : limits_(limits), freed_(std::move(freed)) {}

  /// A place at the end of the queue. `holder` outlives it. `isCostly`: what the address is from
  /// now on; see HandshakeCosts.
  [[nodiscard]] Slot enqueue(Holder& holder, const IpAddress& address, bool isCostly = false);
  /// An address turns out to be costly: all of its connections have to wait behind others.
  void demote(const IpAddress& address);
  /// The next one has its slot, for its handshake first: call admitted(). nullptr when there is no
  /// place for anyone who waits. `elsewhere`: exchanges of other workers.
  Holder* admitNext(std::size_t elsewhere);

  /// Those who shall give their places to others that wait and may not have one of those free:
  /// * in a handshake, whoever has not answered for 3 s; for 200 ms where its address has
  ///   more than a quarter, or is costly and no place is free; while somebody waits whose address
  ///   has no handshake at all, for 200 ms where its own has several, else for several times as
  ///   long as quick ones take, 0.2 to 1 s;
  /// * later, who is 2 s behind the least rate;
  /// * and, beyond three quarters of the places, transfers that have kept us waiting for 2 s in
  ///   total, of the address that has the most places: so much is kept for short answers.
  std::vector<Holder*> yielding(Clock::time_point now, std::size_t elsewhere);

  std::size_t holders() const { return handshakes_.size() + established_.size(); }
  std::size_t waiting() const { return waiting_; }

 private:
  enum class Stage : std::uint8_t { kWaiting, kHandshake, kEstablished };
  struct Entry {
    Admission& admission;
    Holder& holder;
    Client* client;
    Stage stage = Stage::kWaiting;
    Entry* previous = nullptr;
    Entry* next = nullptr;
  };
  struct Client {
    IpAddress address{};
    IntrusiveList<Entry> waiting{};
    std::size_t handshakes = 0;
    std::size_t holds = 0;    ///< places, those in a handshake too
    std::size_t leaving = 0;  ///< of these, chosen by yielding() under way
    Clock::time_point lastServed{};
    bool isCostly = false;
    IntrusiveList<Client>* line = nullptr;
    Client* previous = nullptr;
    Client* next = nullptr;
  };

  std::size_t places(std::size_t elsewhere) const;
  std::size_t mayTake(const Client& client, std::size_t places) const;
  Client* chooseClient(std::size_t places);
  void lineUp(Client& client, IntrusiveList<Client>& line);
  void stopWaiting(Entry& entry);
  void establish(Entry& entry, Clock::duration took, Clock::time_point now);
  void giveBack(Entry& entry) noexcept;
  /// Those who wait and may not have a place.
  struct Blocked {
    std::size_t all = 0;
    std::size_t poor = 0;       ///< whose addresses have less than a quarter, and are not costly
    std::size_t addresses = 0;  ///< of these, addresses without any handshake
    std::size_t forPlaces = 0;  ///< of all, those who lack more than a handshake's place
  };
  Blocked blocked(std::size_t places) const;
  void chooseHandshakes(Clock::time_point now, const Blocked& blocked, std::vector<Entry*>& chosen);
  void chooseLate(Clock::time_point now, std::size_t wanted, std::vector<Entry*>& chosen);
  void chooseLong(Clock::time_point now, std::size_t places, std::size_t wanted,
                  std::vector<Entry*>& chosen);
  void choose(Entry& entry, std::vector<Entry*>& chosen);

  const AdmissionLimits limits_;
  const std::function<void()> freed_;
  std::map<IpAddress, Client> clients_;  ///< those of whom anyone waits or holds
  IntrusiveList<Client> fresh_;          ///< who wait, and held nothing when they came
  IntrusiveList<Client> ring_;           ///< the others who wait, but for these:
  IntrusiveList<Client> costly_;
  bool ringsTurn_ = false;
  std::size_t waiting_ = 0;
  IntrusiveList<Entry> handshakes_;   ///< in order of their beginning
  IntrusiveList<Entry> established_;  ///< likewise
  /// A moving average of those that took less than a second.
  Clock::duration quickHandshake_ = std::chrono::milliseconds(250);
  Clock::time_point lastLook_{};  ///< at the established
};

}  // namespace egalaxyd
