// Tests WHEP and WHIP over a network that loses and reorders packets, or fails for seconds.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { pause } from "../lib/wait.js";

endToEnd("whep_repairs_loss_by_retransmission", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "lossy", { gopFrames: 300 });
  const relay = await stage.relay(gateway.rtcPort, { down: { lossPercent: 5, burstPackets: 2, delayMs: 20, jitterMs: 5 } });
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/lossy"), relayPort: relay.port });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(8);
  stage.sayFigures("5 % loss, 20-25 ms", report);
  stage.say(`relay ${JSON.stringify(relay.counts.down)}, browser ${JSON.stringify(report.statistics["inbound-rtp-video"])}`);
  assert.ok(relay.counts.down.lost > 20, "the relay has lost packets");
  assert.ok(report.statistics["inbound-rtp-video"].retransmittedPacketsReceived > 0, "lost packets were sent again");
  assertPlaysWell(report, { sound: false });
  await viewer.stop();
});

endToEnd("whip_repairs_loss_by_retransmission", async (stage) => {
  const gateway = await stage.gateway();
  const relay = await stage.relay(gateway.rtcPort, { up: { lossPercent: 3, delayMs: 10, jitterMs: 5 } });
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/lossy"), relayPort: relay.port });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "lossy");
  const viewer = await browser.play("whep", { url: gateway.url("/whep/lossy") });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(8);
  stage.sayFigures("3 % loss towards the gateway", report);
  assert.ok((await publisher.report()).statistics["outbound-rtp-video"].nackCount > 0, "the gateway asked for lost packets");
  assertPlaysWell(report, { sound: false });
  await viewer.stop();
  await publisher.stop();
});

endToEnd("whep_plays_on_after_3_seconds_without_a_network", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "tunnel", { gopFrames: 60 });
  const relay = await stage.relay(gateway.rtcPort);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/tunnel"), relayPort: relay.port });
  await viewer.waitForFrames(30);
  relay.up.blackhole = true;
  relay.down.blackhole = true;
  await pause(3000);
  relay.up.blackhole = false;
  relay.down.blackhole = false;
  await viewer.reset();
  await viewer.waitForFrames(15, 10_000);
  await pause(1000);
  const report = await viewer.watch(4);
  stage.sayFigures("after the network came back", report);
  assertPlaysWell(report);
  await viewer.stop();
});

// The server sends media to the new address once the browser has answered a binding request there.
endToEnd("whep_plays_on_when_a_router_gives_the_viewer_another_port", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "roaming", { gopFrames: 60 });
  const relay = await stage.relay(gateway.rtcPort);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/roaming"), relayPort: relay.port });
  await viewer.waitForFrames(30);
  relay.rebind();
  await pause(100); // What was under way to the old port has come.
  await viewer.reset();
  await viewer.waitForFrames(15, 10_000);
  await pause(1000);
  const report = await viewer.watch(4);
  stage.sayFigures("at the new port", report);
  assertPlaysWell(report);
  await viewer.stop();
});
