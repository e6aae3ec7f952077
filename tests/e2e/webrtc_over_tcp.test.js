// Tests viewers and publishers whose networks let no UDP through: WebRTC goes over one TCP connection (RFC 6544).

import assert from "node:assert/strict";
import { Browser } from "../lib/browser.js";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { pause } from "../lib/wait.js";
import { watchPage } from "../lib/watch_page.js";

const BLOCKED = { loses: () => true };

/** Returns a relay that lets nothing through, as a firewall does. */
const blocked = (stage, gateway) => stage.relay(gateway.rtcPort, { up: BLOCKED, down: BLOCKED });

endToEnd("a_viewer_without_udp_watches_over_tcp_within_3_seconds", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "office", { gopFrames: 60 });
  const relay = await blocked(stage, gateway);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/office"), relayPort: relay.port, tcp: true });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(6);
  stage.sayFigures("without UDP", report);
  stage.say(`relay ${JSON.stringify(relay.counts)}`);
  assert.ok(report.firstPictureMs < 3000, `${report.firstPictureMs} ms to the first frame`);
  assert.equal(report.statistics.way.protocol, "tcp");
  assert.equal(await gateway.metric("onmic_connections", { protocol: "rtc" }), 1);
  assertPlaysWell(report);
  await viewer.stop();
});

endToEnd("a_publisher_without_udp_publishes_over_tcp", async (stage) => {
  const gateway = await stage.gateway();
  const relay = await blocked(stage, gateway);
  const browser = await stage.browser();
  const publisher = await browser.play("whip", { url: gateway.url("/whip/office"), relayPort: relay.port, tcp: true });
  await publisher.waitFor("the publisher to connect", ({ state }) => state === "connected");
  await stage.isLive(gateway, "office");
  const viewer = await browser.play("whep", { url: gateway.url("/whep/office") });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(5);
  stage.sayFigures("a publisher without UDP", report);
  assertPlaysWell(report, { sound: false });
  await viewer.stop();
  await publisher.stop();
});

endToEnd("the_watch_page_plays_by_webrtc_without_udp_and_by_udp_where_there_is_any", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "page", { gopFrames: 60 });
  const browser = await stage.browser();
  const relay = await blocked(stage, gateway);
  const began = Date.now();
  const page = await watchPage(browser, gateway.url("/watch/page"), { relay, tcp: true });
  await page.plays("whep", 10_000);
  stage.say(`the page plays by WebRTC ${Date.now() - began} ms after it was opened`);
  await page.advances();
  await page.close();
  const free = await browser.play("whep", { url: gateway.url("/whep/page") });
  await free.waitForFrames(30);
  assert.equal((await free.watch(2)).statistics.way.protocol, "udp", "TCP is for those who have no UDP");
  await free.stop();
});

// As a phone that goes to a network without UDP. The session and its streams are the same.
endToEnd("a_viewer_that_loses_udp_goes_on_over_tcp_after_an_ice_restart", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "moving", { gopFrames: 60 });
  const relay = await stage.relay(gateway.rtcPort);
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/moving"), relayPort: relay.port, tcp: true });
  await viewer.waitForFrames(30);
  const before = await viewer.report();
  assert.equal(before.statistics.way.protocol, "udp");
  relay.up.blackhole = true;
  relay.down.blackhole = true;
  await viewer.reset();
  const began = Date.now();
  const restarted = await viewer.call("restartIce");
  assert.equal(restarted.status, 200, restarted.body);
  // Frames of before may still be shown from the buffer.
  await viewer.waitFor("the way over TCP", ({ statistics }) => statistics.way?.protocol === "tcp", 15_000);
  await viewer.reset();
  await viewer.waitForFrames(1, 10_000);
  stage.say(`video goes on ${Date.now() - began} ms after UDP is lost`);
  await pause(1500);
  const report = await viewer.watch(4);
  stage.sayFigures("over TCP after the restart", report);
  assert.deepEqual([report.statistics.way.protocol, report.resource], ["tcp", before.resource]);
  assertPlaysWell(report);
  await viewer.stop();
});

endToEnd("a_browser_that_may_send_no_udp_watches_over_tcp_by_ipv4_and_ipv6", async (stage) => {
  const browser = stage.keep(await Browser.start({ flags: ["--webrtc-ip-handling-policy=disable_non_proxied_udp"] }));
  for (const host of ["127.0.0.1", "::1"]) {
    const gateway = await stage.gateway({ set: { host } });
    await stage.live(gateway, "office", { gopFrames: 30 });
    const viewer = await browser.play("whep", { url: gateway.url("/whep/office") });
    await viewer.waitForFrames(30);
    const report = await viewer.watch(3);
    stage.sayFigures(`without UDP at ${host}`, report);
    assert.equal(report.statistics.way.protocol, "tcp");
    await viewer.stop();
  }
});
