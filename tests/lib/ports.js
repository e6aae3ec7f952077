// Finds free loopback ports, and an address outside loopback.
//
// The ports are below those that the system gives to outgoing connections (from 32768 on), one of which could take a port
// before the gateway does. No port is given twice.

import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";

/** Returns an IPv4 address of this machine that is not loopback, or null. */
export function outsideAddress() {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? null;
}

const FIRST = 20_000;
const LAST = 32_000;
const given = new Set();

export function freeTcpPort() {
  return freePort(bindTcp);
}

/** Returns a port that is free for UDP and for TCP, as WebRTC has it. */
export function freePortOfBoth() {
  return freePort(bindUdp, bindTcp);
}

function bindTcp(port) {
  return createServer().listen(port, "127.0.0.1");
}

function bindUdp(port) {
  const socket = createSocket("udp4");
  socket.bind(port, "127.0.0.1");
  return socket;
}

/** Tries ports at random until one can be bound in all ways. Each returns a socket, which says "listening" or "error". */
async function freePort(...ways) {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port)) continue;
    given.add(port);
    const free = await Promise.all(ways.map((bind) => canBe(bind(port))));
    if (free.every(Boolean)) return port;
  }
}

/** Returns whether the socket is bound, and closes it. */
async function canBe(socket) {
  const isBound = await new Promise((resolve) => socket.once("listening", () => resolve(true)).once("error", () => resolve(false)));
  if (isBound) await new Promise((resolve) => socket.close(resolve));
  return isBound;
}
