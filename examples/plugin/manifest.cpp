// The classes that egalaxyd can create from this library, by the names that the configuration uses.
#include "guestbook.h"
#include "rate_limiter.h"

EGALAXYD_PLUGIN

EGALAXYD_BEGIN_SITES
POCO_EXPORT_CLASS(guestbook::Guestbook)
POCO_END_MANIFEST

EGALAXYD_BEGIN_RATE_LIMITERS
POCO_EXPORT_CLASS(guestbook::TokenBuckets)
POCO_END_MANIFEST
