// Tests a gateway with a secret: tokens decide who may publish and who may watch, on every protocol.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell, assertProblem } from "../lib/expect.js";
import { request } from "../lib/http.js";
import { offer } from "../lib/offer.js";
import { RtmpClient } from "../lib/rtmp_client.js";
import { SECRET, token } from "../lib/token.js";
import { waitFor } from "../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };

const host = (room) => token({ room, role: "host" });
const viewer = (room) => token({ room, role: "viewer" });
const post = (gateway, path, bearer, direction = "recvonly") =>
  request(gateway.url(path), {
    method: "POST",
    headers: { "Content-Type": "application/sdp", ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}) },
    body: offer({ direction }),
  });

endToEnd("with_tokens_a_host_publishes_and_a_viewer_watches", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET });
  const publisher = stage.publisher(gateway.rtmpUrl("show", `?token=${host("show")}`), PICTURE);
  const asAdmin = { headers: { Authorization: `Bearer ${token({ room: "*", role: "admin" })}` } };
  await waitFor("the room", () => gateway.room("show", asAdmin), { giveUp: () => publisher.assertAlive() });

  const browser = await stage.browser();
  const near = await browser.play("whep", { url: gateway.url("/whep/show"), token: viewer("show") });
  const far = await browser.play("hls", { url: gateway.url("/hls/show/index.m3u8"), token: viewer("show") });
  await near.waitForFrames(30);
  await far.waitForFrames(30, 20_000);
  assertPlaysWell(await near.watch(3));
  const page = await browser.open(gateway.url(`/watch/show?token=${viewer("show")}`));
  await waitFor("the page to play", () => page.evaluate(() => document.querySelector("[data-onmic]")?.dataset.state === "playing"));
  assert.equal((await gateway.json("/api/v1/server")).auth, true);
  await near.stop();
  await far.stop();
});

endToEnd("a_missing_bad_or_insufficient_token_is_refused_on_every_protocol", async (stage) => {
  const gateway = await stage.gateway({ secret: SECRET });
  const publisher = stage.publisher(gateway.rtmpUrl("show", `?token=${host("show")}`), PICTURE);
  const asAdmin = { headers: { Authorization: `Bearer ${token({ room: "*", role: "admin" })}` } };
  await waitFor("the room", () => gateway.room("show", asAdmin), { giveUp: () => publisher.assertAlive() });

  for (const [what, bearer, statuses] of [
    ["no token", null, [401]],
    ["nonsense", "nonsense", [401]],
    ["a token signed with another secret", token({ room: "show", role: "viewer" }, { secret: "other" }), [401]],
    ["an expired token", token({ room: "show", role: "viewer" }, { seconds: -600 }), [401]],
    ["an unsigned token", token({ room: "show", role: "viewer" }, { algorithm: "none" }), [401]],
    ["a token for another room", viewer("other"), [403]],
  ]) {
    assertProblem(await post(gateway, "/whep/show", bearer), statuses, `WHEP with ${what}`);
    const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
    assertProblem(await request(gateway.url("/hls/show/index.m3u8"), { headers }), statuses, `LL-HLS with ${what}`);
    assertProblem(await request(gateway.url("/flv/show.flv"), { headers }), statuses, `HTTP-FLV with ${what}`);
    assertProblem(await request(gateway.url("/api/v1/rooms/show"), { headers }), statuses, `the API with ${what}`);
  }
  assertProblem(await post(gateway, "/whip/mine", null, "sendonly"), [401], "WHIP without a token");
  assertProblem(await post(gateway, "/whip/mine", viewer("mine"), "sendonly"), [403], "WHIP by a viewer");

  for (const [what, key] of [
    ["no token", "mine"],
    ["a viewer's token", `mine?token=${viewer("mine")}`],
    ["a token for another room", `mine?token=${host("other")}`],
  ]) {
    const client = await RtmpClient.open(gateway.rtmpPort);
    await client.connect();
    const status = await client.publish(key).catch((error) => ({ level: "error", closed: error.message }));
    assert.equal(status.level, "error", `RTMP with ${what}: ${JSON.stringify(status)}`);
    await client.waitForClose(10_000);
  }
  const play = await RtmpClient.open(gateway.rtmpPort);
  await play.connect();
  const refused = await play.play("show").catch((error) => ({ level: "error", closed: error.message }));
  assert.equal(refused.level, "error", JSON.stringify(refused));
  await play.stop();

  assert.equal((await request(gateway.url("/healthz"))).status, 200, "health needs no token");
  assert.doesNotMatch(gateway.log, /eyJ/, "no token in the log");
});
