// Tests WHEP and WHIP over a network that loses and reorders packets, or fails for seconds.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { assertNeverDry, assertPlaysWell, capacity } from "../lib/expect.js";
import { pause } from "../lib/wait.js";

/** The time until the gateway holds frames for as long as the losses of a new publisher need. */
const SETTLE_MS = 4000;

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

// The server is not offered NACK and sends nothing again, so every frame and sample that is whole after a loss comes from redundancy.
endToEnd("whep_makes_lost_packets_good_without_requests", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "guarded", { gopFrames: 15 });
  const relay = await stage.relay(gateway.rtcPort, { down: { lossPercent: 10, delayMs: 20 } });
  const browser = await stage.browser();
  const watch = async (editOffer) => {
    const viewer = await browser.play("whep", { url: gateway.url("/whep/guarded"), relayPort: relay.port, editOffer });
    await viewer.waitFor("the viewer to connect", ({ state }) => state === "connected");
    await pause(6000); // The viewer's first reports tell the server of the loss.
    const { statistics: before } = await viewer.report();
    const { statistics: after } = await viewer.watch(8);
    await viewer.stop();
    const grown = (kind, name) => (after[`inbound-rtp-${kind}`][name] ?? 0) - (before[`inbound-rtp-${kind}`][name] ?? 0);
    const concealed = grown("audio", "concealedSamples") / grown("audio", "totalSamplesReceived");
    const figures = {
      frames: grown("video", "framesDecoded"),
      concealedPercent: Math.round(concealed * 10_000) / 100,
      concealedPercentSinceStart: Math.round((10_000 * after["inbound-rtp-audio"].concealedSamples) / after["inbound-rtp-audio"].totalSamplesReceived) / 100,
      fecPackets: grown("video", "fecPacketsReceived"),
      fecBytes: grown("video", "fecBytesReceived"),
      videoBytes: grown("video", "bytesReceived"),
      repeated: grown("video", "retransmittedPacketsReceived"),
    };
    stage.say(`10 % loss, offer ${editOffer || "as it is"}, 8 s: ${JSON.stringify(figures)}`);
    return figures;
  };
  const without = await watch("no-nack no-redundancy");
  const guarded = await watch("no-nack");
  // Browsers ask for lost video, and not for lost audio, which is whole by redundancy alone.
  const usual = await watch("");
  assert.equal(without.fecPackets + without.repeated + guarded.repeated, 0, "nothing is sent again, and one viewer has no repair packets");
  assert.ok(guarded.fecPackets > 50 && guarded.fecBytes > 0, `${guarded.fecPackets} repair packets`);
  assert.ok(guarded.frames > without.frames * 1.5, `${guarded.frames} frames with repair packets, ${without.frames} without`);
  assert.ok(usual.concealedPercent < 2, `${usual.concealedPercent} % concealed`); // Aim: 1 %.
  assert.ok(guarded.concealedPercent < without.concealedPercent / 2, `${guarded.concealedPercent} % concealed, ${without.concealedPercent} % without RED`);
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

// A frame that waits for a repair is late by a round trip or more. The gateway releases all frames that much later, so that viewers,
// who are all on a clean path here, see none of it.
endToEnd(
  "whip_plays_evenly_for_all_viewers_at_10_percent_loss_both_ways",
  async (stage) => {
    const gateway = await stage.gateway();
    const way = { lossPercent: 10, delayMs: 50 };
    const relay = await stage.relay(gateway.rtcPort, { up: way, down: way });
    const browser = await stage.browser();
    const camera = { width: 1280, height: 720, kbps: 2500 };
    for (const [room, relayPort] of [["clean", null], ["lossy", relay.port]]) {
      const publisher = await browser.play("whip", { url: gateway.url(`/whip/${room}`), relayPort, ...camera });
      await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
      await stage.isLive(gateway, room);
      const viewer = await browser.play("whep", { url: gateway.url(`/whep/${room}`) });
      const player = await browser.play("hls", { url: gateway.url(`/hls/${room}/index.m3u8`) });
      await viewer.waitForFrames(30);
      await player.waitForFrames(30, 30_000);
      await pause(SETTLE_MS);
      const [, report] = await Promise.all([player.reset(), viewer.watch(15)]);
      const played = await player.report();
      const { statistics } = await publisher.report();
      stage.sayFigures(`${room} publisher, whep`, report);
      stage.sayFigures(`${room} publisher, ll-hls`, played);
      const { delivered, seconds, receiveGapP95Ms, longestReceiveGapMs, longestSilenceMs } = report;
      stage.say(
        `${(delivered / seconds).toFixed(1)} frames/s came, gaps p95 ${Math.round(receiveGapP95Ms)} ms, longest ` +
          `${Math.round(longestReceiveGapMs)} ms, longest silence ${Math.round(longestSilenceMs)} ms`,
      );
      stage.say(`publisher ${JSON.stringify(statistics["outbound-rtp-video"])} ${JSON.stringify(statistics.path)}`);
      stage.say(`viewer ${JSON.stringify(report.statistics["inbound-rtp-audio"])}`);
      assertPlaysWell(report, { sound: false });
      assertNeverDry(played);
      assert.ok(longestReceiveGapMs * capacity() < 200, `no frame for ${longestReceiveGapMs} ms`);
      await viewer.stop();
      await player.stop();
      await publisher.stop();
    }
    assert.ok(relay.counts.up.lost > 100, "the relay has lost packets");
  },
  { timeout: 150_000 },
);

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
