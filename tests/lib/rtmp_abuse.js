// Holds clients that break RTMP, by mistake or on purpose. Each client is one connection.
//
// `ends` says what must become of the connection: "closed" (the server closes it), "alive" (the client is legal and
// stays connected), or "either" (the specification does not say; the server must survive).

import { randomBytes } from "node:crypto";
import { amf0 } from "./amf0.js";
import { chunks, RtmpClient } from "./rtmp_client.js";
import { pause } from "./wait.js";

const rawChunk = (first, ...rest) => Buffer.concat([Buffer.from([first]), ...rest.map((part) => Buffer.from(part))]);

const AVC_HEADER = Buffer.from(
  "17000000000142c01effe1001767" + "42c01ed900a047fe88010000030001000003003c0f162d48" + "01000468cb83cb20",
  "hex",
);

async function opened(port) {
  const client = await RtmpClient.open(port);
  await client.handshake();
  return client;
}

async function publishing(port, key) {
  const client = await RtmpClient.open(port);
  await client.connect();
  const status = await client.publish(key);
  if (status.code !== "NetStream.Publish.Start") throw new Error(`publish answered ${JSON.stringify(status)}`);
  return client;
}

/** Each `run` takes the port and a free stream key, and returns its connection for the caller to watch. */
export const RTMP_ABUSE = [
  {
    name: "random bytes instead of a handshake",
    ends: "closed",
    async run(port) {
      const client = await RtmpClient.open(port);
      client.write(Buffer.from([0xee]), randomBytes(5000));
      return client;
    },
  },
  {
    name: "an HTTP request",
    ends: "closed",
    async run(port) {
      const client = await RtmpClient.open(port);
      client.write(Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n${"x: y\r\n".repeat(600)}\r\n`));
      return client;
    },
  },
  {
    name: "a handshake of one byte a second",
    ends: "closed",
    async run(port) {
      const client = await RtmpClient.open(port);
      const drip = setInterval(() => (client.closed ? clearInterval(drip) : client.write(Buffer.from([3]))), 1000);
      drip.unref();
      return client;
    },
  },
  { name: "silence after the connect", ends: "closed", run: (port) => RtmpClient.open(port) },
  {
    name: "silence after the handshake",
    ends: "closed",
    run: (port) => opened(port),
  },
  {
    name: "a connect and then nothing",
    ends: "closed",
    async run(port) {
      const client = await RtmpClient.open(port);
      await client.connect();
      return client;
    },
  },
  {
    name: "random bytes as chunks",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      for (let round = 0; round < 64 && !client.closed; round += 1) {
        client.write(randomBytes(16_384));
        await pause(2);
      }
      return client;
    },
  },
  {
    name: "a continuation chunk of a stream that never began",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      client.write(rawChunk(0xc0 | 7, randomBytes(128)));
      return client;
    },
  },
  {
    name: "a message of 16 MiB announced before a publish",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      client.write(rawChunk(6, [0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0], randomBytes(128)));
      return client;
    },
  },
  {
    name: "chunk size 0",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      client.send(2, { type: 1, body: Buffer.from([0, 0, 0, 0]) });
      return client;
    },
  },
  {
    name: "chunk size 2^31 - 1 and a message to fill it",
    ends: "either",
    async run(port) {
      const client = await opened(port);
      client.send(2, { type: 1, body: Buffer.from([0x7f, 0xff, 0xff, 0xff]) });
      client.write(rawChunk(6, [0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]));
      for (let round = 0; round < 256 && !client.closed; round += 1) {
        client.write(Buffer.alloc(65_536, 1));
        await pause(1);
      }
      return client;
    },
  },
  {
    name: "a partial message on each of 60,000 chunk streams",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      for (let stream = 320; stream < 60_320 && !client.closed; stream += 1) {
        const id = stream - 64;
        client.write(rawChunk(1, [id & 0xff, id >> 8], [0, 0, 0, 0, 0x10, 0, 9, 1, 0, 0, 0], Buffer.alloc(128)));
        if (stream % 1000 === 0) await pause(2);
      }
      return client;
    },
  },
  {
    name: "AMF0 objects nested 20,000 deep",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      const nest = Buffer.concat(Array(20_000).fill(Buffer.from([3, 0, 1, 0x61])));
      client.send(3, { type: 20, body: Buffer.concat([amf0.string("connect"), amf0.number(1), nest]) });
      return client;
    },
  },
  {
    name: "AMF0 arrays nested 10,000 deep",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      const nest = Buffer.concat(Array(10_000).fill(Buffer.from([10, 0, 0, 0, 1])));
      client.send(3, { type: 20, body: Buffer.concat([amf0.string("connect"), amf0.number(1), nest]) });
      return client;
    },
  },
  {
    name: "an AMF0 array of 2^32 - 1 entries that do not exist",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      const lie = Buffer.from([10, 0xff, 0xff, 0xff, 0xff]);
      client.send(3, { type: 20, body: Buffer.concat([amf0.string("connect"), amf0.number(1), lie]) });
      return client;
    },
  },
  {
    name: "an AMF0 string longer than its message",
    ends: "closed",
    async run(port) {
      const client = await opened(port);
      client.send(3, { type: 20, body: Buffer.from([2, 0xff, 0xff, 0x63, 0x6f]) });
      return client;
    },
  },
  {
    name: "100,000 createStreams",
    ends: "either",
    async run(port) {
      const client = await RtmpClient.open(port);
      await client.connect();
      for (let id = 0; id < 100_000 && !client.closed; id += 1) {
        client.command(0, "createStream", id + 10, null);
        if (id % 2000 === 0) await pause(5);
      }
      return client;
    },
  },
  {
    name: "publish under a name that is not valid",
    ends: "closed",
    async run(port) {
      const client = await RtmpClient.open(port);
      await client.connect();
      await client.publish(`../../etc/${"x".repeat(10_000)}`).catch(() => {});
      return client;
    },
  },
  {
    name: "video before publish",
    ends: "either",
    async run(port) {
      const client = await RtmpClient.open(port);
      await client.connect();
      client.video(0, AVC_HEADER);
      client.video(0, randomBytes(40_000));
      return client;
    },
  },
  {
    name: "broken codec headers and noise as video and audio",
    ends: "either",
    async run(port, key) {
      const client = await publishing(port, key);
      for (let length = 0; length < AVC_HEADER.length; length += 1) client.video(0, AVC_HEADER.subarray(0, length));
      for (let round = 0; round < 200 && !client.closed; round += 1) {
        client.video(round, Buffer.concat([Buffer.from([0x17, 1, 0, 0, 0]), randomBytes(round * 7)]));
        client.video(round, randomBytes(round + 1));
        client.audio(round, Buffer.concat([Buffer.from([0xaf, round & 1]), randomBytes(round)]));
        client.audio(round, randomBytes(round + 1));
        if (round % 20 === 0) await pause(1);
      }
      return client;
    },
  },
  {
    name: "timestamps that jump by 24 days and back",
    ends: "either",
    async run(port, key) {
      const client = await publishing(port, key);
      client.video(0, AVC_HEADER);
      for (let round = 0; round < 100 && !client.closed; round += 1) {
        const body = Buffer.concat([Buffer.from([0x17, 1, 0, 0, 0, 0, 0, 0, 40, 0x65]), randomBytes(39)]);
        client.video(round % 2 ? 2 ** 31 - 1 : round, body);
      }
      return client;
    },
  },
  {
    name: "audio and video chunks interleaved, as the specification allows",
    ends: "alive",
    async run(port, key) {
      const client = await publishing(port, key);
      client.video(0, AVC_HEADER);
      client.audio(0, Buffer.from([0xaf, 0, 0x11, 0x90]));
      for (let round = 0; round < 50; round += 1) {
        const video = Buffer.concat([Buffer.from([round ? 0x27 : 0x17, 1, 0, 0, 0, 0, 0, 2, 0]), Buffer.from([0x41])]);
        const picture = { type: 9, timestamp: round * 33, stream: client.stream, body: Buffer.concat([video, randomBytes(511)]) };
        const sound = { type: 8, timestamp: round * 33, stream: client.stream, body: Buffer.concat([Buffer.from([0xaf, 1]), randomBytes(600)]) };
        const one = chunks(6, picture);
        const other = chunks(4, sound);
        for (let index = 0; index < Math.max(one.length, other.length); index += 1) {
          if (one[index]) client.write(one[index]);
          if (other[index]) client.write(other[index]);
        }
        await pause(5);
      }
      return client;
    },
  },
];
