// Holds connections that ask for nothing, as strangers, port scans and broken clients open them.

import { constants, closeSync, openSync, writeSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";

/** Where a stranger comes from, so that a limit per address tells it from everybody else. */
export const STRANGER = "127.0.0.66";

/** What a client may say that never asks for anything. */
export const SAID = {
  nothing: "",
  "one letter": "P",
  "half of an HTTP/2 preface": "PRI * HTTP/2.0\r\n",
  "an HTTP/2 preface but for its last byte": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
  "an HTTP/2 preface and settings": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
  "half of a request": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
};

/** Opens a connection, says `said` and listens. `closed` says whether the server has hung up. */
export function dial(port, said = "", localAddress = STRANGER) {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  const dialled = { closed: false, heard: "", end: () => socket.destroy() };
  socket.on("connect", () => socket.write(Buffer.from(said, "latin1")));
  socket.on("data", (bytes) => {
    dialled.heard += bytes.toString("latin1");
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    dialled.closed = true;
  });
  return dialled;
}

/** Returns the writing end of a pipe that is full and that nobody reads, and a function that closes both ends. */
export function fullPipe(folder) {
  const path = fifo(folder);
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  for (const piece of [65_536, 4096, 1]) fill(both, Buffer.alloc(piece));
  // What the gateway gets must block, as the standard error of a program does.
  const writing = openSync(path, constants.O_WRONLY);
  return { writing, close: () => [writing, both].forEach((descriptor) => closeSync(descriptor)) };
}

/** Returns the writing end of a pipe whose reader goes away when `leave` is called. */
export function abandonedPipe(folder) {
  const path = fifo(folder);
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(path, constants.O_WRONLY);
  return { writing, leave: () => closeSync(reading), close: () => closeSync(writing) };
}

function fifo(folder) {
  const path = join(folder, "log");
  const made = spawnSync("mkfifo", [path]);
  if (made.status !== 0) throw new Error(`mkfifo: ${made.stderr}`);
  return path;
}

function fill(descriptor, piece) {
  try {
    while (writeSync(descriptor, piece) > 0);
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
  }
}
