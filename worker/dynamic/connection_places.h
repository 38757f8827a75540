// How many connections a worker may have to the applications of one mount.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>

#include "worker/base/alarm.h"

namespace egalaxyd {

/// Loop thread. Places share it; who waits holds it.
class ConnectionPlaces {
 public:
  explicit ConnectionPlaces(std::size_t most) : most_(most) {}

  /// Move-only; given back when it goes.
  class Place {
   public:
    Place() = default;
    explicit Place(std::shared_ptr<ConnectionPlaces> places) : places_(std::move(places)) {
      ++places_->taken_;
    }
    Place(Place&& other) noexcept
        : places_(std::move(other.places_)), counted_(std::exchange(other.counted_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      giveBack();
      places_ = std::move(other.places_);
      counted_ = std::exchange(other.counted_, nullptr);
      return *this;
    }
    ~Place() { giveBack(); }

    /// Counts among `connections`, which outlive it, until it is given back.
    void countAmong(std::atomic<std::int64_t>& connections) {
      counted_ = &connections;
      connections.fetch_add(1, std::memory_order_relaxed);
    }

   private:
    void giveBack() noexcept {
      if (counted_ != nullptr) counted_->fetch_sub(1, std::memory_order_relaxed);
      counted_ = nullptr;
      const auto places = std::move(places_);
      if (!places) return;
      --places->taken_;
      places->wakeFirst();
    }
    std::shared_ptr<ConnectionPlaces> places_;
    std::atomic<std::int64_t>* counted_ = nullptr;
  };

  /// Whoever waits already goes first.
  bool isFree() const { return taken_ < most_; }
  bool someWait() const { return !waiting_.empty(); }

  /// A place in the line, for as long as it lives. Clients take turns, so that who wants many holds
  /// up no other; what one client wants goes in its order. The alarm rings when it is the first and
  /// a place may be free.
  class Waiting {
   public:
    /// `client`: IpAddress::limitNumber() of who waits.
    Waiting(ConnectionPlaces& places, Alarm& alarm, std::uint64_t client)
        : places_(places), at_(places.join(alarm, client)) {
      places_.wakeFirst();
    }
    ~Waiting() {
      places_.waiting_.erase(at_);
      places_.wakeFirst();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    bool isFirst() const { return places_.first() == at_; }
    /// It has had its turn: another client is the first now.
    void haveTurn() { places_.haveTurn(at_->client); }

   private:
    friend class ConnectionPlaces;
    struct One {
      Alarm* alarm;
      std::uint64_t client;
      std::uint64_t turn;  ///< of the client, the last that it had; 0: none since it waits
    };

    ConnectionPlaces& places_;
    const std::list<One>::iterator at_;
  };

 private:
  using Line = std::list<Waiting::One>;

  Line::iterator join(Alarm& alarm, std::uint64_t client) {
    const auto same = std::ranges::find(waiting_, client, &Waiting::One::client);
    const std::uint64_t turn = same == waiting_.end() ? 0 : same->turn;
    return waiting_.insert(waiting_.end(), {&alarm, client, turn});
  }
  Line::iterator first() { return std::ranges::min_element(waiting_, {}, &Waiting::One::turn); }
  void haveTurn(std::uint64_t client) {
    ++turn_;
    for (Waiting::One& one : waiting_) {
      if (one.client == client) one.turn = turn_;
    }
  }
  void wakeFirst() {
    if (isFree() && !waiting_.empty()) first()->alarm->ring();
  }

  const std::size_t most_;
  std::size_t taken_ = 0;
  std::uint64_t turn_ = 0;
  Line waiting_;
};

}  // namespace egalaxyd
