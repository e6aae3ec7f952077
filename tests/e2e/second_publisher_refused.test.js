// Tests that a name has one publisher: a second one is refused, unless the first has stopped sending.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell, assertProblem } from "../lib/expect.js";
import { request } from "../lib/http.js";
import { offer } from "../lib/offer.js";
import { RtmpClient } from "../lib/rtmp_client.js";
import { pause, waitFor } from "../lib/wait.js";

const PICTURE = { width: 320, height: 180, bitrateKbps: 400 };

endToEnd("a_second_publisher_is_refused_and_the_first_goes_on", async (stage) => {
  const gateway = await stage.gateway();
  const first = await stage.live(gateway, "taken", PICTURE);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/taken") });
  await viewer.waitForFrames(15);
  await viewer.reset();

  const client = await RtmpClient.open(gateway.rtmpPort);
  await client.connect();
  const status = await client.publish("taken");
  assert.equal(status.level, "error", JSON.stringify(status));
  assert.equal(status.code, "NetStream.Publish.BadName");
  await client.waitForClose();

  const second = stage.publisher(gateway.rtmpUrl("taken"), PICTURE);
  await second.waitForExit(15_000);
  assert.notEqual(second.exit.code, 0);

  const whip = await request(gateway.url("/whip/taken"), {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: offer({ direction: "sendonly" }),
  });
  assertProblem(whip, [409], "WHIP to a name in use");

  first.assertAlive();
  const report = await viewer.report();
  assertPlaysWell(report);
  await viewer.stop();
});

endToEnd("a_stalled_publisher_loses_its_name_after_the_grace_period", async (stage) => {
  const gateway = await stage.gateway({ set: { "ingest.grace": "2s" } });
  const first = await stage.live(gateway, "silent", PICTURE);
  first.stall();
  await pause(3000);
  const second = stage.publisher(gateway.rtmpUrl("silent"), PICTURE);
  const since = Date.now();
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/silent") });
  await viewer.waitFor(
    "frames of the second publisher",
    ({ samples }) => samples.some(([at, latency]) => at - latency > since + 500),
    15_000,
  );
  second.assertAlive();
  first.resume(); // ffmpeg notices the closed connection only when it writes.
  await waitFor("the first publisher to be disconnected", () => first.exit);
  assert.notEqual(first.exit.code, 0);
  second.assertAlive();
  await viewer.stop();
});

endToEnd("a_publisher_that_sends_nothing_is_disconnected_when_another_takes_its_name", async (stage) => {
  const gateway = await stage.gateway({ set: { "ingest.grace": "1s" } });
  const [first, second] = [await RtmpClient.open(gateway.rtmpPort), await RtmpClient.open(gateway.rtmpPort)];
  stage.keep(first);
  stage.keep(second);
  await first.connect();
  assert.equal((await first.publish("quiet")).code, "NetStream.Publish.Start");
  await pause(1500);
  await second.connect();
  assert.equal((await second.publish("quiet")).code, "NetStream.Publish.Start");
  await first.waitForClose(2000);
  assert.equal(second.closed, false);
});
