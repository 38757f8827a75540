#!/bin/sh
# Includes point one way: common <- worker <- master (through worker/worker.h alone), common <- ctl;
# parsers and encoders know neither sockets nor logs. Prints every offender; run from the root.
offenders=$(
  grep -rnE '#include "(master|worker|ctl)/' common
  grep -rnE '#include "(master|ctl)/' worker
  grep -rnE '#include "(ctl/|worker/)' master | grep -v '#include "worker/worker.h"'
  grep -rnE '#include "(master|worker)/' ctl
  grep -rnE '#include [<"](Poco/|sys/|spdlog|common/log|common/event_loop)' worker/protocol
)
[ -z "$offenders" ] && exit 0
printf 'includes against the direction:\n%s\n' "$offenders"
exit 1
