// Tests viewers who reach the gateway through a TURN server alone, Debian's coturn, with the credentials that the gateway gives them.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Browser } from "../lib/browser.js";
import { endToEnd } from "../lib/end_to_end.js";
import { assertPlaysWell } from "../lib/expect.js";
import { SECRET, token } from "../lib/token.js";
import { TurnServer } from "../lib/turn_server.js";
import { watchPage } from "../lib/watch_page.js";

const TURN_SECRET = "a secret that coturn and onmic share";
/** A browser that sends no UDP, as where a firewall lets none through. */
const WITHOUT_UDP = { flags: ["--webrtc-ip-handling-policy=disable_non_proxied_udp"] };

/** Starts coturn, and a gateway that has its secret in a file and takes no TCP for WebRTC itself. */
async function start(stage, options = {}) {
  const folder = stage.folder();
  const turn = stage.keep(await TurnServer.start({ secret: TURN_SECRET, folder }));
  const file = join(folder, "secret");
  writeFileSync(file, `${TURN_SECRET}\n`);
  const urls = [turn.url("udp"), turn.url("tcp")].join(",");
  const set = { "rtc.tcp": "off", "turn.urls": urls, "turn.secret_file": file, ...options.set };
  const gateway = await stage.gateway({ ...options, set });
  return { turn, gateway };
}

endToEnd("a_viewer_plays_through_a_turn_server_with_credentials_of_the_link_header", async (stage) => {
  const { turn, gateway } = await start(stage);
  await stage.live(gateway, "relayed", { gopFrames: 60 });
  const browser = await stage.browser();
  const viewer = await browser.play("whep", { url: gateway.url("/whep/relayed"), turn: "relay" });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(5);
  stage.sayFigures("through TURN", report);
  assert.equal(report.statistics.way.type, "relay", JSON.stringify(report.statistics.way));
  assert.match(turn.log, /user <\d+:[0-9a-f]{16}>/, "coturn has taken the credentials");
  assertPlaysWell(report);
  await viewer.stop();
});

endToEnd("a_browser_that_may_send_no_udp_plays_through_a_turn_server_by_tcp_within_3_seconds", async (stage) => {
  const { gateway } = await start(stage);
  await stage.live(gateway, "office", { gopFrames: 60 });
  const browser = stage.keep(await Browser.start(WITHOUT_UDP));
  const viewer = await browser.play("whep", { url: gateway.url("/whep/office"), turn: "all" });
  await viewer.waitForFrames(30);
  const report = await viewer.watch(5);
  stage.sayFigures("without UDP, through TURN", report);
  assert.deepEqual(report.statistics.way, { protocol: "udp", type: "relay", relay: "tcp" });
  assert.ok(report.firstPictureMs < 3000, `${report.firstPictureMs} ms to the first frame`);
  assertPlaysWell(report);
  await viewer.stop();
});

endToEnd("the_watch_page_plays_through_a_turn_server_where_udp_is_blocked", async (stage) => {
  const { gateway } = await start(stage);
  await stage.live(gateway, "page", { gopFrames: 60 });
  const browser = stage.keep(await Browser.start(WITHOUT_UDP));
  const began = Date.now();
  const page = await watchPage(browser, gateway.url("/watch/page"));
  await page.plays("whep", 30_000);
  stage.say(`the page plays by WebRTC ${Date.now() - began} ms after it was opened`);
  await page.advances();
  await page.close();
});

endToEnd("credentials_of_turn_are_for_those_who_may_use_the_endpoint", async (stage) => {
  const { gateway } = await start(stage, { secret: SECRET });
  const links = async (headers) => {
    const response = await fetch(gateway.url("/whip/private"), { method: "HEAD", headers });
    return [response.status, response.headers.get("link") ?? ""];
  };
  assert.deepEqual(await links({}), [401, ""]);
  const [status, link] = await links({ authorization: `Bearer ${token({ room: "private", role: "host" })}` });
  assert.equal(status, 200);
  assert.match(link, /<turn:127\.0\.0\.1:\d+\?transport=udp>; rel="ice-server"; username="\d{10}:[0-9a-f]{16}"; credential="[^"]{28}"; credential-type="password"/);
});
