// A library of somebody else's.
extern "C" __attribute__((visibility("default"))) int answer() { return 42; }
