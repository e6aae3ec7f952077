// Sets the system clock for one process, as a machine without a battery does that gets network time late. A library that
// is loaded before the program answers for the clock. The monotonic clock goes on undisturbed.

import assert from "node:assert/strict";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.js";

const LIBRARY = String.raw`
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead_ms; // The file that the test writes.

__attribute__((constructor)) static void map_file(void) {
  int file = open(getenv("SYSTEM_CLOCK_FILE"), O_RDONLY);
  void *mapped = mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) abort();
  ahead_ms = mapped;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  long failed = syscall(SYS_clock_gettime, clock, now);
  if (failed || clock != CLOCK_REALTIME || !ahead_ms) return (int)failed;
  int64_t ms = *ahead_ms, nanos = now->tv_nsec + ms % 1000 * 1000000;
  now->tv_sec += ms / 1000 + (nanos < 0 ? -1 : nanos / 1000000000);
  now->tv_nsec = (nanos + 1000000000) % 1000000000;
  return 0;
}
`;

export class SystemClock {
  #file;
  #library;
  #aheadMs = 0;

  /** Makes a clock that is ahead of this machine's by `aheadMs`. It needs a C compiler, which Rust needs too. */
  static async make(stage, aheadMs) {
    const folder = stage.folder();
    const clock = new SystemClock();
    clock.#file = join(folder, "ahead");
    clock.#library = join(folder, "system_clock.so");
    const source = join(folder, "system_clock.c");
    writeFileSync(source, LIBRARY);
    const compiled = await run("cc", ["-shared", "-fPIC", "-O1", "-o", clock.#library, source]);
    assert.equal(compiled.code, 0, compiled.stderr);
    writeFileSync(clock.#file, Buffer.alloc(8));
    clock.set(aheadMs);
    return clock;
  }

  /** The environment of a program that is to have this clock. */
  get environment() {
    return { LD_PRELOAD: this.#library, SYSTEM_CLOCK_FILE: this.#file };
  }

  set(aheadMs) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(aheadMs));
    const file = openSync(this.#file, "r+"); // In place, because the program has mapped the file.
    writeSync(file, bytes);
    closeSync(file);
    this.#aheadMs = aheadMs;
  }

  /** Returns what this clock shows, in ms since 1970. */
  now() {
    return Date.now() + this.#aheadMs;
  }
}
