// From the first byte of a program, or another server, to a response.
#pragma once

#include <memory>
#include <optional>

#include "common/config/config.h"
#include "common/shared/shared_state.h"
#include "worker/base/task.h"
#include "worker/dynamic/answer_source.h"
#include "worker/dynamic/program_place.h"
#include "worker/dynamic/script_header.h"
#include "worker/site/request.h"
#include "worker/site/responder.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// An answer that is to be passed on.
struct ProgramAnswer {
  std::unique_ptr<AnswerSource> source;
  HeaderFrom from = HeaderFrom::kProgram;
  ProgramTimes times;
  ProgramPlace place;
  WorkerSlot& counters;
  UpstreamCounts* upstream = nullptr;  ///< who gives it; nullptr: a script
  /// It got a body: whatever becomes of the client, it is let to its end.
  bool runsToItsEnd = false;
  /// Changes a header before it is sent; may be empty.
  UniqueFunction<void(ScriptHeader&)> rewrite = {};
  /// Called instead of an answer where not a byte came: the connection was old. May be empty.
  UniqueFunction<void(Responder, ProgramPlace)> tryAgain = {};
};

/// Reads the header, within times.header, and answers; the body follows as it comes. `whenUnwanted`
/// is requested when the client leaves before.
Task<void> passAnswer(ProgramAnswer answer, std::shared_ptr<const Cancellation> whenUnwanted,
                      Responder reply, Services& services);

}  // namespace egalaxyd
