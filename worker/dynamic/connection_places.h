// How many connections a worker may have to the applications of one mount.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <utility>

#include "worker/base/alarm.h"

namespace egalaxyd {

/// Loop thread. Outlives its places.
class ConnectionPlaces {
 public:
  /// Until then there are none.
  void limit(std::size_t most) { most_ = most; }

  /// Move-only; given back when it goes.
  class Place {
   public:
    Place() = default;
    explicit Place(ConnectionPlaces& places) : places_(&places) { ++places.taken_; }
    Place(Place&& other) noexcept
        : places_(std::exchange(other.places_, nullptr)),
          counted_(std::exchange(other.counted_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      giveBack();
      places_ = std::exchange(other.places_, nullptr);
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
      if (places_ == nullptr) return;
      ConnectionPlaces& places = *std::exchange(places_, nullptr);
      --places.taken_;
      if (!places.waiting_.empty()) places.waiting_.front()->ring();
    }
    ConnectionPlaces* places_ = nullptr;
    std::atomic<std::int64_t>* counted_ = nullptr;
  };

  /// Whoever waits already goes first.
  bool isFree() const { return taken_ < most_; }
  bool someWait() const { return !waiting_.empty(); }

  /// A place in the line, for as long as it lives: its alarm rings when it is the first and a place
  /// may be free.
  class Waiting {
   public:
    Waiting(ConnectionPlaces& places, Alarm& alarm)
        : places_(places), at_(places.waiting_.insert(places.waiting_.end(), &alarm)) {}
    ~Waiting() {
      places_.waiting_.erase(at_);
      if (places_.isFree() && !places_.waiting_.empty()) places_.waiting_.front()->ring();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    bool isFirst() const { return places_.waiting_.begin() == at_; }

   private:
    ConnectionPlaces& places_;
    const std::list<Alarm*>::iterator at_;
  };

 private:
  std::size_t most_ = 0;
  std::size_t taken_ = 0;
  std::list<Alarm*> waiting_;
};

}  // namespace egalaxyd
