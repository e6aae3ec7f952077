// Opens one thing of each kind that stays open by a token: a WebSocket, sessions of WebRTC, HTTP-FLV, RTMP, and an LL-HLS
// player. Each says whether it is still open.

import { request } from "./http.js";
import { offer } from "./offer.js";
import { parseMaster } from "./playlist.js";
import { RoomClient } from "./room_client.js";
import { RtmpClient } from "./rtmp_client.js";
import { dial } from "./strangers.js";
import { waitFor } from "./wait.js";

const EXPECTED = { 200: true, 204: true, 401: false, 403: false, 404: false };

/** Returns whether an answer means that something is still there. */
function isThere({ status, text }) {
  if (!(status in EXPECTED)) throw new Error(`${status}: ${text}`);
  return EXPECTED[status];
}

async function session(gateway, path, direction, bearer) {
  const answer = await request(gateway.url(path), {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${bearer}` },
    body: offer({ direction }),
  });
  if (answer.status !== 201) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
  const resource = gateway.url(answer.headers.location);
  // It never connects, and lives for rtc.consent_timeout.
  return { isOpen: async () => isThere(await request(resource)), stop: async () => {} };
}

async function rtmp(gateway, does, key) {
  const client = await RtmpClient.open(gateway.rtmpPort);
  await client.connect();
  const status = await client[does](key);
  if (status.level !== "status") throw new Error(`${does} ${key}: ${JSON.stringify(status)}`);
  return { isOpen: async () => !client.closed, stop: () => client.stop(), client };
}

/** Each takes the gateway, a room, a participant and a function that makes a token with claims. */
export const HOLDERS = {
  "a WebSocket": async (gateway, room, person, token) => {
    const client = await RoomClient.join(gateway, room, { token: token({ role: "viewer", sub: person }) });
    if (client.refused) throw new Error(`refused with ${client.refused}`);
    return { isOpen: async () => !client.closed, stop: () => client.stop(), client };
  },
  "a viewer by WHEP": (gateway, room, person, token) => session(gateway, `/whep/${room}`, "recvonly", token({ role: "viewer", sub: person })),
  "a publisher by WHIP": (gateway, room, person, token) =>
    session(gateway, `/whip/${room}/${person}`, "sendonly", token({ role: "co-host", participant: person })),
  "a viewer by HTTP-FLV": async (gateway, room, person, token) => {
    const path = `/flv/${room}.flv?token=${token({ role: "viewer", sub: person })}`;
    const dialled = dial(gateway.httpPort, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    await waitFor("a file", () => dialled.heard.includes("FLV\x01") || dialled.closed);
    if (dialled.closed) throw new Error(dialled.heard);
    return { isOpen: async () => !dialled.closed, stop: async () => dialled.end() };
  },
  "a player by RTMP": (gateway, room, person, token) => rtmp(gateway, "play", `${room}?token=${token({ role: "viewer", sub: person })}`),
  "a publisher by RTMP": (gateway, room, person, token) =>
    rtmp(gateway, "publish", `${room}/${person}-rtmp?token=${token({ role: "co-host", participant: `${person}-rtmp`, sub: person })}`),
  "a player by LL-HLS": async (gateway, room, person, token) => {
    const headers = { Authorization: `Bearer ${token({ role: "viewer", sub: person })}` };
    const url = gateway.url(`/hls/${room}/index.m3u8`);
    const index = await request(url, { headers });
    if (index.status !== 200) throw new Error(`the index answered ${index.status}: ${index.text}`);
    const playlist = new URL(parseMaster(index.text).variants[0].uri, url);
    return { isOpen: async () => isThere(await request(playlist, { headers })), stop: async () => {} };
  },
};
