// Admission control: shares the slots for exchanges out by client address, and chooses the holders
// to evict while others wait. Pure bookkeeping.
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

/// The most exchanges there may be. One takes some 50 KiB during its handshake, some 15 KiB later.
struct AdmissionLimits {
  std::size_t handshakes;  ///< in a handshake, of this worker
  std::size_t own;         ///< of this worker, however many the others have
  std::size_t all;         ///< of all workers together; `own` is granted beyond it
};

/// A fair queue by address (IPv6: by /64). Handshakes and slots in total are limited separately.
///
/// Addresses take turns; every other turn is for those that hold nothing. An address may hold a
/// third of what is free: a quarter of all if no other holds any, and less if many do. So there is
/// room for newcomers, however many wait. The only address that waits may take all but a reserve
/// for newcomers. A costly one (see HandshakeCosts) gets its turn when no other that waits may have
/// a slot.
///
/// Must outlive its slots.
class Admission {
  struct Client;
  struct Entry;

 public:
  /// How a holder's client keeps up; see Pace.
  struct Standing {
    bool awaited = false;  ///< the server waits for the client, not the client for the server
    Clock::duration behind{};
    Clock::duration waited{};
  };

  /// A connection that waits for a slot and then holds one.
  class Holder {
   public:
    /// Called only while it holds a slot.
    virtual Standing standing(Clock::time_point now) = 0;
    /// It is admitted: its place in the queue has become a slot.
    virtual void admitted() = 0;
    /// It is evicted for the benefit of others that wait: it must end, at once or soon.
    virtual void yield() = 0;

   protected:
    ~Holder() = default;
  };

  /// A place in the queue; after admitted() the right to be an exchange. Its destructor gives it
  /// back. Move-only; an empty one does nothing.
  class Slot {
   public:
    Slot() = default;
    explicit operator bool() const { return entry_ != nullptr; }
    /// Call once, after admitted(), when the handshake is done. `took`: how long it took; zero if
    /// there was none.
    void established(Clock::duration took, Clock::time_point now);
    /// After that: what it is needed for is bounded elsewhere, and may take hours. It no longer
    /// counts among the slots, nor can it be evicted.
    void setApart();
    /// When a connection of the same address last finished a handshake.
    Clock::time_point lastServed() const;

   private:
    friend class Admission;
    struct GiveBack {
      void operator()(Entry* entry) const noexcept;
    };
    explicit Slot(Entry* entry) : entry_(entry) {}
    std::unique_ptr<Entry, GiveBack> entry_;
  };

  /// `freed` is called when an admitted slot is given back; it must not throw.
  explicit Admission(
      AdmissionLimits limits, std::function<void()> freed = [] {})
      : limits_(limits), freed_(std::move(freed)) {}

  /// Appends to the queue. `holder` must outlive the slot. `isCostly` applies to the whole address
  /// from now on; see HandshakeCosts.
  [[nodiscard]] Slot enqueue(Holder& holder, const IpAddress& address, bool isCostly = false);
  /// Marks an address as costly: all its connections wait behind those of others.
  void demote(const IpAddress& address);
  /// Admits the next connection, to its handshake first, and returns it: call its admitted().
  /// nullptr if no waiting connection may have a slot. `elsewhere`: exchanges of other workers.
  Holder* admitNext(std::size_t elsewhere);

  /// The holders to evict, if connections wait that may not take a free slot:
  /// * in a handshake: those whose client has not answered for 3 s; for 200 ms if its address has
  ///   more than a quarter of them, or is costly and none is free; while an address without any
  ///   handshake waits, for 200 ms if its own has several, otherwise for a multiple of what quick
  ///   handshakes take, 0.2 to 1 s;
  /// * later: those that are 2 s behind the minimum rate;
  /// * if transfers that have kept us waiting for 2 s in total take more than three quarters of the
  ///   slots: the excess, from the address that holds most. The rest is kept for short answers.
  std::vector<Holder*> yielding(Clock::time_point now, std::size_t elsewhere);

  std::size_t holders() const { return handshakes_.size() + established_.size(); }
  std::size_t waiting() const { return waiting_; }

 private:
  enum class Stage : std::uint8_t { kWaiting, kHandshake, kEstablished, kApart };
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
    std::size_t holds = 0;    ///< slots, including those in a handshake
    std::size_t leaving = 0;  ///< of these, those already chosen by the current yielding()
    std::size_t apart = 0;
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
  void setApart(Entry& entry);
  void giveBack(Entry& entry) noexcept;
  /// Numbers of waiting connections that may not have a slot.
  struct Blocked {
    std::size_t all = 0;
    std::size_t poor = 0;       ///< of addresses with less than a quarter, and not costly
    std::size_t addresses = 0;  ///< the number of such addresses that have no handshake at all
    std::size_t forPlaces = 0;  ///< of all, those that lack a slot, not only a handshake
  };
  Blocked blocked(std::size_t places) const;
  void chooseHandshakes(Clock::time_point now, const Blocked& blocked, std::vector<Entry*>& chosen);
  void chooseLate(Clock::time_point now, std::size_t wanted, std::vector<Entry*>& chosen);
  void chooseLong(Clock::time_point now, std::size_t places, std::size_t wanted,
                  std::vector<Entry*>& chosen);
  void choose(Entry& entry, std::vector<Entry*>& chosen);

  const AdmissionLimits limits_;
  const std::function<void()> freed_;
  std::map<IpAddress, Client> clients_;  ///< addresses with connections that wait or hold
  IntrusiveList<Client> fresh_;          ///< waiting, and held nothing when they joined the queue
  IntrusiveList<Client> ring_;           ///< the others that wait, except costly ones
  IntrusiveList<Client> costly_;
  bool ringsTurn_ = false;
  std::size_t waiting_ = 0;
  IntrusiveList<Entry> handshakes_;   ///< oldest first
  IntrusiveList<Entry> established_;  ///< likewise
  /// Moving average over handshakes that took at most a second.
  Clock::duration quickHandshake_ = std::chrono::milliseconds(250);
  Clock::time_point lastLook_{};  ///< when established_ was last scanned
};

}  // namespace egalaxyd
