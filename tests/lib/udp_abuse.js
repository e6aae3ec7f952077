// Makes noise for a WebRTC port: datagrams that begin like STUN, DTLS, RTP or RTCP but are not valid.

import { createHmac, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { pause } from "./wait.js";

function attribute(type, value) {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

/** Returns a STUN message. With a `password` it is signed (RFC 8489 section 14.5). */
export function stun({ type = 0x0001, username = null, password = null, attributes = [], length = null } = {}) {
  const body = [...attributes];
  if (username !== null) body.push(attribute(0x0006, Buffer.from(username)));
  const head = Buffer.alloc(20);
  head.writeUInt16BE(type);
  head.writeUInt32BE(0x2112a442, 4);
  randomBytes(12).copy(head, 8);
  let content = Buffer.concat(body);
  if (password !== null) {
    head.writeUInt16BE(content.length + 24, 2);
    const signature = createHmac("sha1", password).update(head).update(content).digest();
    content = Buffer.concat([content, attribute(0x0008, signature)]);
  }
  head.writeUInt16BE(length ?? content.length, 2);
  return Buffer.concat([head, content]);
}

const dtlsRecord = (kind, body, epoch = 0) => {
  const head = Buffer.from([kind, 0xfe, 0xfd, epoch >> 8, epoch & 0xff, 0, 0, 0, 0, 0, 0, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([head, body]);
};

/** Maps a name to a function that makes one datagram. `ufrag` belongs to a live session, if the test attacks one. */
export const UDP_NOISE = {
  "an empty datagram": () => Buffer.alloc(0),
  "one byte": () => randomBytes(1),
  "random bytes": () => randomBytes(1 + Math.floor(Math.random() * 1400)),
  "a datagram of 60 kB": () => randomBytes(60_000),
  "a truncated STUN message": () => stun({ username: "a:b" }).subarray(0, 13),
  "STUN with a false length": () => stun({ username: "a:b", length: 0xfffc }),
  "STUN for an unknown user name": () => stun({ username: "nobody:nothing", password: "wrong" }),
  "STUN with a user name of 60 kB": () => stun({ username: "x".repeat(60_000) }),
  "STUN without a user name": () => stun(),
  "STUN full of unknown attributes": () =>
    stun({ username: "a:b", attributes: Array.from({ length: 200 }, (_, index) => attribute(0x7000 + index, randomBytes(4))) }),
  "STUN to a live session with the wrong password": (ufrag) =>
    stun({ username: `${ufrag}:abcd`, password: "wrongwrongwrongwrongwrong" }),
  "STUN to a live session without a signature": (ufrag) => stun({ username: `${ufrag}:abcd` }),
  "a STUN answer to no request": () => stun({ type: 0x0101 }),
  "a DTLS record of random bytes": () => dtlsRecord(22, randomBytes(200)),
  "a DTLS record with a false length": () => {
    const record = dtlsRecord(22, randomBytes(40));
    record.writeUInt16BE(0xffff, 11);
    return record;
  },
  "a ClientHello of a thousand zero bytes": () =>
    dtlsRecord(22, Buffer.concat([Buffer.from([1, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0xfe, 0xfd]), Buffer.alloc(998)])),
  "a DTLS fragment of a 16 MB handshake": () =>
    dtlsRecord(22, Buffer.concat([Buffer.from([1, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 40]), randomBytes(40)])),
  "DTLS application data": () => dtlsRecord(23, randomBytes(100), 1),
  "RTP": () => Buffer.concat([Buffer.from([0x80, 102]), randomBytes(600)]),
  "RTP with a header extension that does not end": () =>
    Buffer.concat([Buffer.from([0x9f, 102]), randomBytes(70), Buffer.from([0xbe, 0xde, 0xff, 0xff])]),
  "RTCP": () => Buffer.concat([Buffer.from([0x81, 206, 0, 2]), randomBytes(24)]),
  "RTCP with a false length": () => Buffer.from([0x9f, 205, 0xff, 0xff, 0, 0, 0, 1]),
};

/**
 * Sends every kind of noise `rounds` times, from several source ports. Returns how many datagrams it sent and got back.
 */
export async function makeNoise(port, { rounds = 50, ufrag = "nobody", sockets = 8 } = {}) {
  let answers = 0;
  const clients = [];
  for (let index = 0; index < sockets; index += 1) {
    const socket = createSocket("udp4");
    socket.on("message", () => {
      answers += 1;
    });
    socket.on("error", () => {});
    clients.push(socket);
  }
  let sent = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const make of Object.values(UDP_NOISE)) {
      clients[sent % sockets].send(make(ufrag), port, "127.0.0.1", () => {});
      sent += 1;
    }
    await pause(5);
  }
  await pause(200);
  for (const socket of clients) socket.close();
  return { sent, answers };
}
