// Tests WHIP in and WHEP out: every codec that a browser sends reaches another browser unchanged.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { waitFor } from "../lib/wait.js";

for (const [name, seconds] of [
  ["H264", 6],
  ["VP8", 4],
  ["VP9", 4],
  ["AV1", 4],
]) {
  endToEnd(`whip_${name.toLowerCase()}_plays_by_whep`, async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser();
    // VP8, VP9 and AV1 are encoded in software, on cores that the rest of the test needs too.
    const size = name === "H264" ? {} : { width: 320, height: 180 };
    const publisher = await browser.play("whip", { url: gateway.url("/whip/cam"), codec: `video/${name}`, ...size });
    const sent = await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
    assert.match(sent.resource, /^http:\/\/127\.0\.0\.1/);
    assert.ok(sent.etag, "an ETag for the ICE session");
    await stage.isLive(gateway, "cam");

    const viewer = await browser.play("whep", { url: gateway.url("/whep/cam") });
    await viewer.waitForFrames(15);
    const report = await viewer.watch(seconds);
    stage.sayFigures(`whip ${name} → whep`, report);
    assertPlaysWell(report, size);
    assert.match(report.statistics.codecs.join(), new RegExp(`video/${name}`));

    const [host] = (await gateway.room("cam")).participants;
    assert.equal(host.protocol, "whip");
    assert.equal(host.video.codec, name.toLowerCase());
    assert.equal(host.audio.codec, "opus");
    await viewer.stop();
    assert.ok([200, 204].includes(await publisher.stop()));
    await waitFor("the room to end with its publisher", async () => !(await gateway.room("cam"))?.live);
  });
}

endToEnd("whip_ice_restart_keeps_the_session_and_the_viewers", async (stage) => {
  const gateway = await stage.gateway();
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/moving") });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "moving");
  const viewer = await browser.play("whep", { url: gateway.url("/whep/moving") });
  await viewer.waitForFrames(15);

  const before = await publisher.report();
  const restarted = await publisher.call("restartIce");
  assert.equal(restarted.status, 200, restarted.body);
  assert.match(restarted.body, /a=ice-ufrag:/);
  assert.ok(restarted.etag && restarted.etag !== before.etag, "a restart is a new ICE session with a new ETag");
  const report = await viewer.watch(4);
  assertPlaysWell(report);
  assert.equal((await publisher.report()).state, "connected");
  await viewer.stop();
  await publisher.stop();
});

endToEnd("a_whip_publisher_that_vanishes_frees_its_name_after_the_grace_period", async (stage) => {
  const gateway = await stage.gateway({ set: { "ingest.grace": "1s", "rtc.consent_timeout": "5s", "rooms.empty_timeout": "1s" } });
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/gone") });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "gone");
  await publisher.close();
  await waitFor("the room to be gone", async () => (await gateway.room("gone")) === null, { timeoutMs: 20_000 });
  const again = await browser.play("whip", { url: gateway.url("/whip/gone") });
  await again.waitFor("the next publisher to connect", ({ state }) => state === "connected");
  await again.stop();
});
