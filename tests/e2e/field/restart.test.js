// Tests what outlives a restart, kill -9 included: rooms with their locks, mutes, seats and overlays, bans, and webhooks that
// were not delivered. Also what does not: a file of state that cannot be read.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { endToEnd } from "../../lib/end_to_end.js";
import { Gateway } from "../../lib/gateway.js";
import { request } from "../../lib/http.js";
import { RoomClient } from "../../lib/room_client.js";
import { run } from "../../lib/run.js";
import { SECRET, token } from "../../lib/token.js";
import { pause, waitFor } from "../../lib/wait.js";

const HOOK_SECRET = "a secret of the webhooks, thirty-two bytes";
const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };
const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
// What changed this long ago is on disk, the time of a slow disk included.
const KEPT_AFTER_MS = 1500;

const ADMIN = { Authorization: `Bearer ${token({ room: "*", role: "admin" })}` };

const call = async (gateway, method, path, body = null) => {
  const answer = await request(gateway.url(`/api/v1/rooms${path}`), {
    method,
    headers: { "Content-Type": "application/json", ...ADMIN },
    body: body === null ? null : JSON.stringify(body),
  });
  return { ...answer, json: answer.text ? JSON.parse(answer.text) : null };
};

/** A receiver of webhooks that refuses everything until it is told to take it. */
async function receiver(stage) {
  const told = { takes: false, refused: [], taken: [] };
  const server = createServer((incoming, answer) => {
    const parts = [];
    incoming.on("data", (part) => parts.push(part));
    incoming.on("end", () => {
      (told.takes ? told.taken : told.refused).push(JSON.parse(Buffer.concat(parts)));
      answer.writeHead(told.takes ? 204 : 503).end();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  stage.keep({ stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) });
  told.url = `http://127.0.0.1:${server.address().port}/hook`;
  return told;
}

async function killed(gateway) {
  gateway.signal("SIGKILL");
  await waitFor("the gateway to be gone", () => gateway.exit);
}

endToEnd("rooms_and_webhooks_outlive_kill_9", async (stage) => {
  const hooks = await receiver(stage);
  const path = `${stage.folder()}/state`;
  const settings = {
    secret: SECRET,
    set: { "state.path": path, "webhooks.url": hooks.url, "webhooks.secret": HOOK_SECRET, "rooms.away_timeout": "30s" },
  };
  const first = await Gateway.start(settings);
  assert.equal((await call(first, "POST", "", { room: "tea", title: "Tea", seats: 4, locked: true })).status, 201);
  assert.equal((await call(first, "PUT", "/tea/overlays", {
    overlays: [{ id: "logo", kind: "image", place: { x: 0.1, y: 0.1, width: 0.2, height: 0.2 }, image: PIXEL }],
  })).status, 200);
  const hostToken = token({ room: "tea", role: "host", sub: "mia", name: "Mia" });
  const join = async (gateway, query) => stage.keep(await RoomClient.join(gateway, "tea", query));
  const host = await join(first, { token: hostToken });
  const guest = await join(first, { token: token({ room: "tea", role: "viewer", sub: "anna" }), name: "Anna" });
  const invited = await host.ask({ kind: "invite", person: "anna", seat: 2 });
  assert.equal(invited.ok, true, JSON.stringify(invited));
  await guest.ask({ kind: "accept" });
  const ticket = await guest.ticket();
  const seated = stage.publisher(first.rtmpUrl("tea/anna", `?token=${ticket.token}`), PICTURE);
  await host.event("mic-on", undefined, { giveUp: () => seated.assertAlive() });
  await host.ask({ kind: "lock-seat", seat: 3, locked: true });
  await host.ask({ kind: "mute", person: "anna", audio: true });
  for (const person of ["ben", "carl"]) {
    assert.equal((await call(first, "POST", "/tea/bans", { person, seconds: 3600, reason: "spam" })).status, 201);
  }
  assert.equal((await call(first, "POST", "/elsewhere/bans", { person: "ben", seconds: 3600 })).status, 201);
  const bansOf = async (gateway, room) => (await call(gateway, "GET", `/${room}/bans`)).json.bans;
  const banned = (await bansOf(first, "tea")).find(({ person }) => person === "ben");
  assert.equal((await call(first, "DELETE", "/tea/bans/carl")).status, 204);
  await waitFor("a webhook to be tried", () => hooks.refused.length > 0);
  await pause(KEPT_AFTER_MS);
  await killed(first);
  await seated.waitForExit();

  hooks.takes = true;
  const second = await stage.gateway(settings);
  const { json: room } = await call(second, "GET", "/tea");
  const { state } = room;
  assert.deepEqual([state.title, state.locked, state.kept ?? true], ["Tea", true, true]);
  assert.equal(state.seats.length, 4);
  assert.deepEqual([state.seats[1].person, state.seats[1].state, state.seats[1].muted_by.audio], ["anna", "away", "host"]);
  assert.equal(state.seats[2].locked, true);
  assert.deepEqual(state.program.overlays.map(({ id }) => id), ["logo"]);
  const image = await request(second.url("/api/v1/rooms/tea/overlays/logo/image"), { headers: ADMIN });
  assert.equal(image.status, 200);

  const comes = async (sub) => (await join(second, { token: token({ room: "tea", role: "viewer", sub }) })).refused;
  assert.equal(await comes("ben"), 403, "a ban goes on");
  assert.equal(await comes("carl"), null, "a ban that was lifted does not");
  const bans = await bansOf(second, "tea");
  assert.deepEqual(bans.map(({ person, reason }) => [person, reason]), [["ben", "spam"]]);
  const moved = Math.abs(Date.parse(bans[0].until) - Date.parse(banned.until));
  assert.ok(moved < 5000, `the end of a ban has moved by ${moved} ms`);
  assert.equal((await bansOf(second, "elsewhere")).length, 1, "a ban needs no room");

  const again = await join(second, { token: hostToken, epoch: host.hello.epoch, after: host.lastNumber });
  assert.equal(again.hello.type, "snapshot", "events after the last write may be unknown, so the state is sent anew");
  assert.equal(again.hello.epoch, host.hello.epoch);
  assert.ok(again.hello.number > host.lastNumber);
  const back = stage.publisher(second.rtmpUrl("tea/anna", `?token=${ticket.token}`), PICTURE);
  await again.event("mic-on", undefined, { giveUp: () => back.assertAlive() });

  // What was not delivered comes with its id, in order, and then what has happened since.
  await waitFor("the webhooks", () => hooks.taken.some(({ event }) => event.kind === "mic-on" && event.seat.state === "on-mic" && hooks.taken.length > 6));
  const oldest = hooks.refused[0];
  assert.match(oldest.id, /^[0-9a-f]{16}$/);
  assert.deepEqual(hooks.taken[0], oldest, "the first webhook is the one that was refused, with its id");
  const numbers = hooks.taken.map(({ number }) => number);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  assert.equal(new Set(hooks.taken.map(({ id }) => id)).size, hooks.taken.length);
  const kinds = hooks.taken.map(({ event }) => event.kind);
  for (const kind of ["room-opened", "mic-away"]) assert.ok(kinds.includes(kind), kinds.join());
});

endToEnd("a_disk_that_takes_no_more_hurts_nobody_and_gets_the_rest_later", async (stage) => {
  const path = `${stage.folder()}/state`;
  const settings = { set: { "state.path": path } };
  // A file that may not grow refuses as a full disk does, once the signal that tells of it is ignored.
  const first = await Gateway.start({ ...settings, wrap: ["bash", "-c", 'trap "" XFSZ; exec "$@"', "-"] });
  const mayHave = async (bytes) => {
    const limited = await run("prlimit", ["--pid", String(first.pid), `--fsize=${bytes}`]);
    assert.equal(limited.code, 0, limited.stderr);
  };
  const create = async (room) => assert.equal((await call(first, "POST", "", { room, title: "x".repeat(200) })).status, 201);
  const writes = (outcome) => first.metric("onmic_state_writes_total", { outcome });
  await create("before");
  await waitFor("the first write", async () => (await writes("written")) > 0);
  await mayHave("4096:unlimited");
  await create("meanwhile");
  await waitFor("writes that fail", async () => (await writes("failed")) > 1);
  await create("still");
  const told = () => first.log.match(/the state of rooms cannot be written/g)?.length;
  await waitFor("the sentence", told);
  assert.equal(told(), 1, "it is said once a minute");
  await mayHave("unlimited");
  const before = await writes("written");
  await waitFor("the rest to be written", async () => (await writes("written")) > before);
  await pause(KEPT_AFTER_MS);
  await killed(first);
  const second = await stage.gateway(settings);
  for (const room of ["before", "meanwhile", "still"]) assert.equal((await call(second, "GET", `/${room}`)).status, 200, room);
});

endToEnd("a_file_of_state_that_cannot_be_read_is_set_aside", async (stage) => {
  const path = `${stage.folder()}/state`;
  writeFileSync(path, "redb\x1a\n\xa9\r\nthis is no database any more", "latin1");
  const gateway = await stage.gateway({ set: { "state.path": path } });
  await waitFor("the sentence", () => /the state of rooms cannot be read; it is set aside, and rooms begin anew/.test(gateway.log));
  assert.ok(existsSync(`${path}.unreadable`));
});

endToEnd("a_file_that_is_no_state_is_left_as_it_is_and_ends_the_start", async (stage) => {
  const path = `${stage.folder()}/secret`;
  const secret = `${SECRET}\n`;
  writeFileSync(path, secret);
  for (const [set, reason] of [
    [{ "state.path": path }, /is not the state of a node, and is left as it is/],
    [{ "state.path": path, "auth.keys_file": path }, /auth.keys_file and state.path name one file/],
  ]) {
    const node = await Gateway.start({ set, ready: false });
    await waitFor("the node to end", () => node.exit);
    await waitFor("the reason", () => reason.test(node.log));
    assert.equal(readFileSync(path, "utf8"), secret);
  }
});

endToEnd("two_nodes_do_not_share_a_file_of_state", async (stage) => {
  const path = `${stage.folder()}/state`;
  await stage.gateway({ set: { "state.path": path } });
  const second = await Gateway.start({ set: { "state.path": path }, ready: false });
  await waitFor("the second node to end", () => second.exit);
  await waitFor("the reason", () => /in use by another process/.test(second.log));
});
