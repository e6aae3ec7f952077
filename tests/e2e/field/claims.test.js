// Tests how what a token has opened ends: with the token, with a kick, and with a ban. Each protocol is a row. A bystander of
// the same protocol goes on.

import assert from "node:assert/strict";
import { endToEnd } from "../../lib/end_to_end.js";
import { HOLDERS } from "../../lib/holders.js";
import { request } from "../../lib/http.js";
import { RoomClient } from "../../lib/room_client.js";
import { SECRET, token } from "../../lib/token.js";
import { waitFor } from "../../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const ROOM = "show";

const minutes = (claims) => token({ room: ROOM, ...claims });
const seconds = (claims) => token({ room: ROOM, ...claims }, { seconds: 3 });
const host = minutes({ role: "host", sub: "mia" });

/** Starts a gateway with a room that is live, and opens one thing of each kind for each of these people. */
async function withHolders(stage, people, set = {}) {
  // Publishers that never send anything are let be for as long as the test takes.
  const gateway = await stage.gateway({ secret: SECRET, set: { "rtc.consent_timeout": "60s", "rtmp.idle_timeout": "60s", ...set } });
  const publisher = stage.publisher(gateway.rtmpUrl(ROOM, `?token=${host}`), PICTURE);
  const asHost = { headers: { Authorization: `Bearer ${host}` } };
  await waitFor("the room to be live", async () => (await gateway.room(ROOM, asHost))?.live, { giveUp: () => publisher.assertAlive() });
  const held = [];
  for (const [what, open] of Object.entries(HOLDERS)) {
    for (const [person, makeToken] of Object.entries(people)) {
      const holder = await open(gateway, ROOM, person, makeToken);
      stage.keep(holder);
      held.push({ what: `${what} of ${person}`, person, openedAt: performance.now(), ...holder });
    }
  }
  const open = async (person) => {
    const own = held.filter((holder) => holder.person === person);
    const states = await Promise.all(own.map(async ({ what, isOpen }) => ((await isOpen()) ? what : null)));
    return states.filter(Boolean);
  };
  return { gateway, publisher, held, open };
}

const allOf = (person) => Object.keys(HOLDERS).map((what) => `${what} of ${person}`);

async function untilAllAreClosed(open, person, options) {
  let left = [];
  const areClosed = async () => (left = await open(person)).length === 0;
  await waitFor(`all of ${person}'s to be closed`, areClosed, options).catch((error) => {
    throw new Error(`${error.message}; open: ${left.join(", ")}`);
  });
}

endToEnd("what_a_token_has_opened_ends_with_it_on_every_protocol", async (stage) => {
  const people = { long: minutes, short: seconds };
  const began = Date.now();
  const { gateway, publisher, held, open } = await withHolders(stage, people, { "auth.grace": "1s" });
  // Opening all takes a while on a busy machine. Whatever was opened before the first token expired was there.
  if (Date.now() - began < 3000) assert.deepEqual(await open("short"), allOf("short"));
  await untilAllAreClosed(open, "short", { timeoutMs: 25_000 });
  assert.ok(Date.now() - began >= 3000, "nothing may end before its token has expired");
  assert.deepEqual(await open("long"), allOf("long"));
  publisher.assertAlive();
  const events = held.find(({ what }) => what === "a WebSocket of short").client;
  assert.equal(events.closed.code, 4401, "the client is told that it needs a new token");
  const ended = await gateway.metric("onmic_permits_ended_total", { reason: "token_expired" });
  assert.equal(ended, Object.keys(HOLDERS).length - 1, "each but LL-HLS, which asks anew each time");
});

endToEnd("who_is_kicked_loses_everything_at_once_and_who_is_banned_does_not_come_back", async (stage) => {
  const { gateway, publisher, open } = await withHolders(stage, { ben: minutes, anna: minutes });
  const ask = (method, path, body) =>
    request(gateway.url(`/api/v1/rooms/${ROOM}${path}`), {
      method,
      headers: { Authorization: `Bearer ${host}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
  assert.deepEqual(await open("ben"), allOf("ben"));
  assert.equal((await ask("DELETE", "/persons/ben")).status, 204);
  // A player of LL-HLS opens nothing that could be closed. It may come back like all others.
  const hls = "a player by LL-HLS of ben";
  await waitFor("everything of ben to be closed", async () => (await open("ben")).every((what) => what === hls));
  assert.deepEqual(await open("anna"), allOf("anna"));

  const back = await HOLDERS["a WebSocket"](gateway, ROOM, "ben", minutes);
  stage.keep(back);
  const banned = await ask("POST", "/bans", { person: "ben", seconds: 600, reason: "spam" });
  assert.equal(banned.status, 201, banned.text);
  await untilAllAreClosed(open, "ben");
  await waitFor("the new connection to be closed", () => back.client.closed);
  assert.equal(back.client.closed.code, 4403);
  for (const [what, opens] of Object.entries(HOLDERS)) {
    await assert.rejects(async () => stage.keep(await opens(gateway, ROOM, "ben", minutes)), undefined, `${what} of somebody who is banned`);
  }
  assert.deepEqual(JSON.parse((await ask("GET", "/bans")).text).bans.map(({ person }) => person), ["ben"]);
  assert.equal((await ask("DELETE", "/bans/ben")).status, 204);
  const forgiven = await RoomClient.join(gateway, ROOM, { token: minutes({ role: "viewer", sub: "ben" }) });
  stage.keep(forgiven);
  assert.equal(forgiven.refused, null);
  assert.deepEqual(await open("anna"), allOf("anna"));
  publisher.assertAlive();
});
