// The applications and capsules that the workers call, as an answer of the control socket.
#pragma once

#include <Poco/JSON/Array.h>
#include <Poco/JSON/Object.h>

namespace egalaxyd {

struct MasterView;

/// One row for each address of the configuration that serves, in its order. The counts are those of
/// the workers that run, and missing behind the first kCountedUpstreams.
Poco::JSON::Array upstreamRows(const MasterView& master);
Poco::JSON::Object describeUpstreams(const MasterView& master);

}  // namespace egalaxyd
