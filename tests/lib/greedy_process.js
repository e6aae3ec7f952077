// Takes as much of a gateway as it is allowed to, at all protocols at once, from one address. Each part is paced, so that it is
// the gateway and not this process that needs the processor.
//
// greedy.js starts this process with a JSON description as its argument. It reports what it got five times a second, and ends on
// "stop" or with its parent.

import { randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { connect } from "node:net";
import WebSocket from "ws";
import { request } from "./http.js";
import { offer } from "./offer.js";
import { RtmpClient } from "./rtmp_client.js";
import { STRANGER } from "./strangers.js";
import { pause } from "./wait.js";

const FPS = 30;
const GROUP = 60;
/** The sequence header of 320x180 in Baseline, as the body of a video message. */
const HEADER = Buffer.from("1700000000" + "0142c00dffe10015" + "6742c00dda0507e840000003004000000f23c50aa8" + "010005" + "68ce0f2c80", "hex");
const TAG = 9; // The header of a tag's body, and the length of the one NAL unit in it.
const BEHIND_MS = 1000;
const BURST = 100;
const BURST_EVERY_MS = 250;
const CHATS = 20;
const CHATS_EVERY_MS = 50;
const SESSION_EVERY_MS = 100;

const { httpPort, rtmpPort, room, bitrate } = JSON.parse(process.argv[2]);
const http = `127.0.0.1:${httpPort}`;
/** What it got. `refused` counts commands that were too many, and `closed` connections that were closed for it. */
const got = { answers: 0, chats: 0, refused: 0, closed: 0, sessions: 0, denied: 0, sentKb: 0, publisherClosed: false };

/** Publishes frames that nobody could decode, at nearly the bitrate at which a publisher is closed. */
async function publish() {
  const client = await RtmpClient.open(rtmpPort);
  await client.connect();
  const status = await client.publish(room);
  if (status.code !== "NetStream.Publish.Start") throw new Error(`publish answered ${JSON.stringify(status)}`);
  client.setChunkSize(65_536);
  client.video(0, HEADER);
  const noise = randomBytes(Math.floor((bitrate * 0.95) / 8 / FPS) - TAG);
  let start = performance.now();
  for (let frame = 0; !client.closed; frame += 1) {
    const timestamp = Math.round((frame * 1000) / FPS);
    start = Math.max(start, performance.now() - timestamp - BEHIND_MS); // What a busy machine did not let it send is not sent later.
    await pause(Math.max(0, start + timestamp - performance.now()));
    const keyframe = frame % GROUP === 0;
    const head = Buffer.alloc(TAG);
    head.set([keyframe ? 0x17 : 0x27, 1]);
    head.writeUInt32BE(noise.length, 5);
    noise[0] = keyframe ? 0x65 : 0x41;
    client.video(timestamp, Buffer.concat([head, noise]));
    got.sentKb += noise.length / 1000;
  }
  got.publisherClosed = true;
}

/** Asks in bursts on one connection, without waiting for answers, and again when all of them have come. */
async function ask() {
  const paths = ["/api/v1/server", "/healthz", `/hls/${room}/index.m3u8`, "/watch", "/api/v1/openapi.json"];
  const asked = (path) => `GET ${path} HTTP/1.1\r\nHost: ${http}\r\n\r\n`;
  const few = ["/metrics", "/api/v1/rooms"].map(asked);
  const burst = [...few, ...Array.from({ length: BURST - few.length }, (_, index) => asked(paths[index % paths.length]))].join("");
  for (;;) {
    const socket = connect({ port: httpPort, host: "127.0.0.1", localAddress: STRANGER });
    const status = Buffer.from("HTTP/1.1 ");
    let answered = 0;
    let tail = Buffer.alloc(0);
    let closed = false;
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
    });
    socket.on("data", (chunk) => {
      const bytes = Buffer.concat([tail, chunk]);
      for (let at = bytes.indexOf(status); at >= 0; at = bytes.indexOf(status, at + 1)) answered += 1;
      tail = bytes.subarray(Math.max(0, bytes.length - status.length + 1));
    });
    for (let bursts = 1; !closed; bursts += 1) {
      socket.write(burst);
      await pause(BURST_EVERY_MS);
      while (!closed && answered < bursts * BURST) await pause(10);
      if (!closed) got.answers += BURST;
    }
    got.closed += 1;
  }
}

/** Chats far faster than anybody may, and comes back when it is sent away for it. */
async function chat() {
  for (;;) {
    const socket = new WebSocket(`ws://${http}/api/v1/rooms/${room}/events?name=Greedy`, { localAddress: STRANGER });
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("message", (text) => {
      if (!text.includes('"type":"answer"')) return;
      if (text.includes('"ok":true')) got.chats += 1;
      else got.refused += 1;
    });
    const timer = setInterval(() => {
      if (socket.readyState !== WebSocket.OPEN) return;
      for (let id = 0; id < CHATS; id += 1) socket.send(`{"type":"command","id":${id},"command":{"kind":"chat","text":"more"}}`);
    }, CHATS_EVERY_MS);
    await closed;
    clearInterval(timer);
    got.closed += 1;
    await pause(CHATS_EVERY_MS);
  }
}

/** Opens sessions by WHEP that never connect. */
async function open() {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress: STRANGER });
  for (;;) {
    const answer = await request(`http://${http}/whep/${room}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer(),
      agent,
    }).catch(() => ({ status: 0 }));
    if (answer.status === 201) got.sessions += 1;
    else got.denied += 1;
    await pause(SESSION_EVERY_MS);
  }
}

process.on("SIGINT", () => {}); // Ctrl-C reaches the whole process group. The parent decides when to stop.
process.on("disconnect", () => process.exit(1));
process.on("message", () => process.exit(0));
setInterval(() => process.send(got), 200);
for (const part of [publish, ask, chat, open]) {
  part().catch((error) => {
    process.send({ error: `${part.name}: ${error.message}` });
  });
}
