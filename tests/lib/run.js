// Runs other programs: ffmpeg, ffprobe, openssl.

import { spawn } from "node:child_process";

/** Runs a program until it exits. Returns its exit code, signal and output. */
export function run(program, argv, { timeoutMs = 30_000, input = null } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argv, { stdio: [input === null ? "ignore" : "pipe", "pipe", "pipe"] });
    const out = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].on("data", (chunk) => (out[name] += chunk));
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...out });
    });
    if (input !== null) child.stdin.end(input);
  });
}
