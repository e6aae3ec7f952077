// Tests rooms from outside: a viewer asks for the mic, the host grants it, and a ticket opens one seat. Also tests
// webhooks, and that every refusal has a sentence.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { endToEnd } from "../lib/end_to_end.js";
import { assertProblem } from "../lib/expect.js";
import { request } from "../lib/http.js";
import { offer } from "../lib/offer.js";
import { RoomClient } from "../lib/room_client.js";
import { SECRET, token } from "../lib/token.js";
import { pause, waitFor } from "../lib/wait.js";

const HOOK_SECRET = "a secret of the webhooks, thirty-two bytes";
const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };

const join = async (stage, gateway, room, query) => stage.keep(await RoomClient.join(gateway, room, query));

const publish = (gateway, path, bearer = null) =>
  request(gateway.url(path), {
    method: "POST",
    headers: { "Content-Type": "application/sdp", ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}) },
    body: offer({ direction: "sendonly" }),
  });

const call = async (gateway, method, path, body = null, bearer = null) => {
  const answer = await request(gateway.url(`/api/v1/rooms${path}`), {
    method,
    headers: { "Content-Type": "application/json", ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}) },
    body: body === null ? null : typeof body === "string" ? body : JSON.stringify(body),
  });
  return { ...answer, json: answer.text ? JSON.parse(answer.text) : null };
};

endToEnd("only_the_granted_viewer_goes_on_mic_and_only_with_its_ticket", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET, set: { "rooms.grant_timeout": "20s", "rooms.cool_down": "30s" } });
  const hostToken = token({ room: "show", role: "host", sub: "mia", name: "Mia" });
  const encoder = stage.publisher(gateway.rtmpUrl("show", `?token=${hostToken}`), PICTURE);
  const host = await join(stage, gateway, "show", { token: hostToken });
  const viewer = await join(stage, gateway, "show", { token: token({ room: "show", role: "viewer" }), name: "Anna" });
  assert.equal(viewer.hello.type, "snapshot");
  assert.equal(viewer.hello.room.host.person, "mia");
  await host.event("source-up", ({ source }) => source.participant === "host", { giveUp: () => encoder.assertAlive() });

  const asked = await viewer.ask({ kind: "request-mic", seat: 2 });
  assert.equal(asked.request.name, "Anna");
  await host.event("mic-requested", ({ request }) => request.person === viewer.person);
  const granted = await host.ask({ kind: "grant", person: viewer.person });
  assert.equal(granted.seat.state, "reserved");
  const ticket = await viewer.ticket();
  assert.equal(ticket.participant, viewer.person);
  assert.ok(Math.abs(Date.parse(ticket.program_time) - Date.now()) < 5000, `${ticket.program_time} is not near the current time`);
  assert.ok(!host.messages.some(({ type }) => type === "ticket"), "only the viewer gets the ticket");

  // The tokens of others, a viewer's token, and the ticket used for another place are refused.
  const path = `/whip/show/${viewer.person}`;
  assert.equal(ticket.whip, path);
  for (const [what, bearer, where] of [
    ["another co-host's token", token({ room: "show", role: "co-host", participant: "ben" }), path],
    ["a viewer's token", token({ room: "show", role: "viewer", sub: viewer.person }), path],
    ["the ticket for another seat", ticket.token, "/whip/show/ben"],
    ["the ticket for the host's place", ticket.token, "/whip/show"],
    ["a forged ticket", token({ room: "show", role: "co-host", participant: viewer.person, sub: viewer.person, seat: 2, jti: "guessed" }), path],
  ]) {
    assertProblem(await publish(gateway, where, bearer), [403], what);
  }

  const seat = stage.publisher(gateway.rtmpUrl(`show/${viewer.person}`, `?token=${ticket.token}`), PICTURE);
  const on = await host.event("mic-on", undefined, { giveUp: () => seat.assertAlive() });
  assert.deepEqual([on.seat.seat, on.seat.person, on.seat.video, on.seat.audio], [2, viewer.person, true, true]);
  const room = await gateway.room("show", { headers: { Authorization: `Bearer ${hostToken}` } });
  assert.equal(room.state.seats[1].state, "on-mic");
  assert.deepEqual(room.state.sources.map(({ participant }) => participant).sort(), [viewer.person, "host"].sort());

  // After the removal the publisher is disconnected, the ticket is void, and the viewer may not ask again at once.
  const removed = await host.ask({ kind: "remove", person: viewer.person });
  assert.equal(removed.ok, true);
  assert.equal((await viewer.event("mic-left")).reason, "removed");
  await seat.waitForExit();
  const again = assertProblem(await publish(gateway, path, ticket.token), [403], "a void ticket");
  assert.match(again.detail, /no longer yours/);
  const early = await viewer.ask({ kind: "request-mic" });
  assert.equal(early.problem.code, "cooling-down");
  assert.match(early.problem.detail, /Ask again in \d+ s\./);
});

endToEnd("a_client_that_reconnects_gets_the_events_it_missed", async (stage) => {
  const gateway = await stage.gateway();
  const host = await join(stage, gateway, "show", { role: "host", name: "Mia" });
  const viewer = await join(stage, gateway, "show", { name: "Anna" });
  await host.ask({ kind: "chat", text: "one" });
  await viewer.event("chat");
  await viewer.stop();
  await host.ask({ kind: "chat", text: "two" });
  await host.ask({ kind: "lock-seat", seat: 1, locked: true });
  const back = await join(stage, gateway, "show", viewer.asTheSame);
  assert.equal(back.hello.type, "resumed");
  assert.equal(back.person, viewer.person);
  await back.event("seat-changed");
  const missed = back.events.filter(({ event }) => ["chat", "seat-changed"].includes(event.kind));
  assert.deepEqual(missed.map(({ event }) => event.message?.text ?? event.seat.locked), ["two", true]);
  const numbers = [...viewer.events, ...back.events].map(({ number }) => number);
  assert.deepEqual(numbers, numbers.map((_, index) => numbers[0] + index), "no number is missing or repeated");

  await gateway.stop();
  await waitFor("the server to close the connection", () => host.closed);
  assert.equal(host.closed.code, 1001);
});

endToEnd("webhooks_are_signed_sent_in_order_and_retried", async (stage) => {
  const posts = [];
  const receiver = createServer((incoming, answer) => {
    const parts = [];
    incoming.on("data", (part) => parts.push(part));
    incoming.on("end", () => {
      posts.push({ body: Buffer.concat(parts), signature: incoming.headers["onmic-signature"], path: incoming.url });
      answer.writeHead(posts.length === 1 ? 500 : 204).end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  stage.keep({ stop: () => new Promise((resolve) => receiver.close(resolve).closeAllConnections()) });
  const url = `http://127.0.0.1:${receiver.address().port}/hook?from=onmic`;
  const gateway = await stage.gateway({ set: { "webhooks.url": url, "webhooks.secret": HOOK_SECRET } });
  const host = await join(stage, gateway, "show", { role: "host", name: "Mia" });
  for (const locked of [true, false, true]) await host.ask({ kind: "lock-seat", seat: 1, locked });
  await host.ask({ kind: "chat", text: "is nobody else's business" });
  assert.equal((await call(gateway, "DELETE", "/show")).status, 204);
  await waitFor("all webhooks", () => posts.some(({ body }) => body.includes("room-ended")));

  for (const { body, signature, path } of posts) {
    assert.equal(path, "/hook?from=onmic");
    const [, time, given] = signature.match(/^t=(\d+),v1=([0-9a-f]{64})$/);
    assert.equal(createHmac("sha256", HOOK_SECRET).update(`${time}.`).update(body).digest("hex"), given);
    assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 30);
  }
  const told = posts.map(({ body }) => JSON.parse(body));
  assert.deepEqual(told[0], told[1], "the first webhook was refused and sent again");
  const kinds = told.slice(1).map(({ event }) => event.kind);
  assert.deepEqual(kinds, ["room-opened", "host-changed", "seat-changed", "seat-changed", "seat-changed", "room-ended"]);
  assert.deepEqual(told.slice(1).map(({ number }) => number), told.slice(1).map(({ number }) => number).sort((a, b) => a - b));
  assert.deepEqual([...new Set(told.map(({ room, epoch }) => `${room} ${epoch}`))], [`show ${host.hello.epoch}`]);
  const seen = new Map(host.events.map(({ number, event }) => [number, event]));
  for (const { number, event } of told) if (seen.has(number)) assert.deepEqual(event, seen.get(number));
  assert.equal(await gateway.metric("onmic_webhooks_total", { outcome: "sent" }), 6);
  assert.equal(await gateway.metric("onmic_webhooks_total", { outcome: "retried" }), 1);
});

endToEnd("rooms_are_created_changed_and_ended_by_rest", async (stage) => {
  const gateway = await stage.gateway();
  const made = await call(gateway, "POST", "", { room: "shop", title: "Tea", seats: 2, timeouts: { request_ms: 5000 } });
  assert.equal(made.status, 201);
  assert.equal(made.headers.location, "/api/v1/rooms/shop");
  assert.deepEqual([made.json.title, made.json.seats.length, made.json.settings.timeouts.request_ms], ["Tea", 2, 5000]);
  assert.equal((await call(gateway, "POST", "", { room: "shop", title: "Tea", seats: 2, timeouts: { request_ms: 5000 } })).status, 200);
  assertProblem(await call(gateway, "POST", "", { room: "shop", title: "Coffee" }), [409], "other settings");
  const listed = (await call(gateway, "GET", "")).json.rooms;
  assert.deepEqual(listed.map(({ name, live, participants }) => [name, live, participants]), [["shop", false, []]]);
  const changed = await call(gateway, "PATCH", "/shop", { seats: 3, open_seats: false });
  assert.deepEqual([changed.json.seats.length, changed.json.title, changed.json.settings.open_seats], [3, "Tea", false]);

  const viewer = await join(stage, gateway, "shop", { name: "Anna" });
  const person = viewer.person;
  const asked = await call(gateway, "POST", "/shop/requests", { person, seat: 3 });
  assert.deepEqual([asked.status, asked.headers.location], [201, `/api/v1/rooms/shop/requests/${person}`]);
  assert.equal((await call(gateway, "POST", "/shop/requests", { person })).status, 200, "the existing request is returned");
  assert.equal((await call(gateway, "DELETE", `/shop/requests/${person}`)).status, 204);
  const invited = await call(gateway, "POST", "/shop/invitations", { person });
  assert.deepEqual([invited.status, invited.json.invitation.seat], [201, 1]);
  const accepted = await call(gateway, "POST", `/shop/invitations/${person}/accept`);
  assert.deepEqual([accepted.status, accepted.json.seat.state], [200, "reserved"]);
  assert.equal((await viewer.ticket()).seat, 1);
  assert.equal((await call(gateway, "PATCH", "/shop/seats/1", { audio: "muted" })).json.seat.muted_by.audio, "host");
  assert.equal((await call(gateway, "PATCH", "/shop/seats/1", { move_to: 2 })).json.seat.seat, 2);
  assert.equal((await call(gateway, "PATCH", "/shop/seats/1", { locked: true })).json.seat.locked, true);
  assert.equal((await call(gateway, "POST", "/shop/seats/2/failed", { reason: "No camera." })).status, 204);
  const failed = await viewer.event("mic-failed");
  assert.deepEqual([failed.reason, failed.request.failed], ["No camera.", "No camera."]);
  assert.equal((await call(gateway, "POST", "/shop/chat", { text: "Welcome" })).json.message.text, "Welcome");
  assert.deepEqual((await call(gateway, "GET", "/shop/persons")).json.persons, [{ person, name: "Anna", role: "viewer" }]);

  // One pixel, and padding after its end that makes the message as long as that of a real image.
  const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  const file = Buffer.concat([Buffer.from(pixel, "base64"), Buffer.alloc(300_000, 7)]);
  const image = `data:image/png;base64,${file.toString("base64")}`;
  const place = { x: 0, y: 0, width: 0.2, height: 0.1 };
  const overlays = [{ id: "logo", kind: "image", place, image }, { id: "card", kind: "text", place, z: 1, title: "Tea", lines: ["12"] }];
  const shown = await call(gateway, "PUT", "/shop/overlays", { overlays });
  assert.equal(shown.status, 200, shown.text);
  const address = "/api/v1/rooms/shop/overlays/logo/image";
  assert.equal(shown.json.program.overlays[0].image, address);
  const picture = await request(gateway.url(address));
  assert.deepEqual([picture.headers["content-type"], picture.raw.length], ["image/png", file.length]);
  assert.equal((await call(gateway, "PUT", "/shop/overlays", { overlays: shown.json.program.overlays })).status, 200, "an image is kept by its address");

  assert.equal((await call(gateway, "DELETE", "/shop")).status, 204);
  await waitFor("the server to close the connection", () => viewer.closed);
  assert.equal(viewer.closed.code, 1000);
  assertProblem(await call(gateway, "GET", "/shop"), [404], "a room that ended");
});

endToEnd("bad_rest_calls_are_answered_by_problem_details_with_sentences", async (stage) => {
  const gateway = await stage.gateway();
  await call(gateway, "POST", "", { room: "shop", seats: 2 });
  for (const [method, path, body, status] of [
    ["POST", "", "{", 400],
    ["POST", "", { room: "two words" }, 422],
    ["POST", "", { room: "other", seats: 17 }, 422],
    ["POST", "", { room: "other", seets: 2 }, 422],
    ["POST", "", { room: "other", timeouts: { away_ms: 1 } }, 422],
    ["PATCH", "/shop", { title: "x".repeat(201) }, 422],
    ["PATCH", "/nowhere", { seats: 2 }, 404],
    ["PATCH", "/.shop", { seats: 2 }, 400],
    ["DELETE", "/nowhere", null, 404],
    ["POST", "/shop/requests", {}, 422],
    ["POST", "/shop/requests", { person: "nobody" }, 404],
    ["POST", "/shop/requests/nobody/grant", null, 404],
    ["POST", "/shop/invitations", { person: "nobody", seat: 1 }, 404],
    ["PATCH", "/shop/seats/3", { locked: true }, 404],
    ["PATCH", "/shop/seats/x", { locked: true }, 404],
    ["PATCH", "/shop/seats/1", {}, 422],
    ["PATCH", "/shop/seats/1", { locked: true, move_to: 2 }, 422],
    ["PATCH", "/shop/seats/1", { audio: "muted" }, 409],
    ["PUT", "/shop/pk", { room: "shop" }, 422],
    ["PUT", "/shop/pk", { room: "nowhere" }, 404],
    ["POST", "/shop/pk/accept", null, 404],
    ["PUT", "/shop/layout", { kind: "circle" }, 422],
    ["PUT", "/shop/overlays", { overlays: Array(17).fill({}) }, 422],
    ["PUT", "/shop/overlays", `{"overlays":"${"x".repeat(4_000_000)}"}`, 413],
    ["PATCH", "/shop/look", { background: "red" }, 422],
    ["PATCH", "/shop/sources/host", { gain_db: 100 }, 422],
    ["POST", "/shop/chat", { text: "" }, 422],
    ["GET", "/shop/overlays/logo/image", null, 404],
    ["GET", "/shop/events", null, 426],
    ["GET", "/shop/dance", null, 404],
    ["PUT", "/shop/chat", {}, 405],
  ]) {
    assertProblem(await call(gateway, method, path, body), [status], `${method} ${path} ${JSON.stringify(body)?.slice(0, 80)}`);
  }
});

endToEnd("with_tokens_every_command_is_authorised", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET });
  const as = (claims) => token({ room: "show", ...claims });
  const [admin, mia, anna, ben] = [
    token({ room: "*", role: "admin" }),
    as({ role: "host", sub: "mia" }),
    as({ role: "viewer", sub: "anna" }),
    as({ role: "viewer", sub: "ben" }),
  ];
  for (const [what, bearer, status] of [
    ["no token", null, 401],
    ["the token of another room", token({ room: "other", role: "host" }), 403],
    ["a host's token", mia, 403],
  ]) {
    assertProblem(await call(gateway, "POST", "", { room: "show" }, bearer), [status], `POST /rooms with ${what}`);
  }
  assert.equal((await call(gateway, "POST", "", { room: "show" }, admin)).status, 201);
  const clients = [];
  for (const bearer of [mia, anna, ben]) clients.push(await join(stage, gateway, "show", { token: bearer }));
  assert.deepEqual(clients.map(({ person }) => person), ["mia", "anna", "ben"]);
  assert.equal((await RoomClient.join(gateway, "show", {})).refused, 401);
  assert.equal((await RoomClient.join(gateway, "show", { token: token({ room: "other", role: "viewer" }) })).refused, 403);
  assert.equal((await RoomClient.join(gateway, "show", { token: as({ role: "host", sub: "two words" }) })).refused, 403);
  const guest = await RoomClient.join(gateway, "show", { token: as({ role: "viewer", sub: "two words" }) });
  assert.match(guest.person, /^guest-/, "a viewer whose sub cannot be an id");
  await guest.stop();
  assert.equal((await RoomClient.join(gateway, "show", { token: as({ role: "viewer", sub: "host" }) })).refused, 403);

  assert.equal((await call(gateway, "POST", "/show/requests", {}, anna)).status, 201, "a command without a person acts for the person of the token");
  for (const [what, answer] of [
    ["a request for another person", await call(gateway, "POST", "/show/requests", { person: "anna" }, ben)],
    ["withdrawal of another person's request", await call(gateway, "DELETE", "/show/requests/anna", null, ben)],
    ["a grant to oneself", await call(gateway, "POST", "/show/requests/anna/grant", null, anna)],
    ["the list of persons for a viewer", await call(gateway, "GET", "/show/persons", null, anna)],
    ["the end of the room by a viewer", await call(gateway, "DELETE", "/show", null, anna)],
    ["a seat locked by a viewer", await call(gateway, "PATCH", "/show/seats/1", { locked: true }, anna)],
    ["a layout by a viewer", await call(gateway, "PUT", "/show/layout", { kind: "solo" }, anna)],
    ["a layout by another host while the room has a host", await call(gateway, "PUT", "/show/layout", { kind: "solo" }, as({ role: "host", sub: "eve" }))],
  ]) {
    assertProblem(answer, [403], what);
  }
  assert.equal((await call(gateway, "POST", "/show/requests/anna/grant", null, mia)).status, 200);
  assert.equal((await call(gateway, "DELETE", "/show/seats/1/participant", null, anna)).status, 204);
  assert.equal((await clients[2].event("mic-left")).reason, "left");
  assert.equal((await call(gateway, "PUT", "/show/host", { person: "ben" }, mia)).json.host.person, "ben");
  assert.equal((await clients[2].ticket()).whip, "/whip/show");
});

endToEnd("every_failure_on_the_way_to_the_mic_has_a_defined_end", async (stage) => {
  const gateway = await stage.gateway({
    set: { "rooms.grant_timeout": "1s", "rooms.presence_timeout": "500ms", "rooms.host_away_timeout": "500ms", "rooms.pk_away_timeout": "500ms", "ingest.grace": "1s" },
  });
  const host = await join(stage, gateway, "show", { role: "host", name: "Mia" });
  const viewer = await join(stage, gateway, "show", { name: "Anna" });
  const person = viewer.person;

  await host.ask({ kind: "lock-seat", seat: 2, locked: true });
  const locked = await viewer.ask({ kind: "request-mic", seat: 2 });
  assert.equal(locked.problem.detail, "Seat 2 is locked. Ask for another one.");
  const [once, twice] = [await viewer.ask({ kind: "request-mic" }), await viewer.ask({ kind: "request-mic" })];
  assert.deepEqual(once.request, twice.request);
  assert.equal(viewer.events.filter(({ event }) => event.kind === "mic-requested").length, 1);

  // The viewer is granted the mic and publishes nothing.
  await host.ask({ kind: "grant", person });
  const late = await viewer.event("mic-failed");
  assert.equal(late.reason, "Nothing was published in time.");
  assert.equal(late.request.failed, late.reason);

  // The viewer is granted the mic, and the connection breaks before the first frame.
  await host.ask({ kind: "grant", person });
  const answer = await publish(gateway, `/whip/show/${person}`);
  assert.equal(answer.status, 201, answer.text);
  await viewer.event("mic-connecting");
  await request(gateway.url(answer.headers.location), { method: "DELETE" });
  await viewer.event("mic-failed", ({ reason }) => reason === "The connection broke before the first picture or sound.");

  // The participant is removed and publishes again.
  await host.ask({ kind: "grant", person });
  const first = stage.publisher(gateway.rtmpUrl(`show/${person}`), PICTURE);
  await host.event("mic-on", undefined, { giveUp: () => first.assertAlive() });
  await host.ask({ kind: "remove", person });
  await first.waitForExit();
  const second = stage.publisher(gateway.rtmpUrl(`show/${person}`), PICTURE);
  await second.waitForExit();
  assert.equal(host.events.filter(({ event }) => event.kind === "mic-on").length, 1, "the removed participant is not on mic again");

  // A PK partner disconnects.
  const encoders = [stage.publisher(gateway.rtmpUrl("show"), PICTURE), stage.publisher(gateway.rtmpUrl("other"), PICTURE)];
  const other = await join(stage, gateway, "other", { role: "host", name: "Kim" });
  for (const [client, encoder] of [[host, encoders[0]], [other, encoders[1]]]) {
    await client.event("source-up", ({ source }) => source.participant === "host", { giveUp: () => encoder.assertAlive() }).catch(async (error) => {
      if (!client.hello.room.sources.some(({ participant }) => participant === "host")) throw error;
    });
  }
  assert.equal((await host.ask({ kind: "propose-pk", room: "other" })).pk.state, "proposed");
  assert.equal((await other.ask({ kind: "accept-pk" })).pk.state, "on");
  await encoders[1].kill();
  assert.equal((await host.event("pk-ended")).reason, "host-gone");

  // The host vanishes. The viewer is told, and the room stays open.
  await encoders[0].kill();
  await host.stop();
  await viewer.event("host-away");
  const vacant = await viewer.event("host-changed", ({ host }) => host.person === null);
  assert.equal(vacant.host.present, false);
  await pause(100);
  assert.equal(viewer.closed, null);
});
