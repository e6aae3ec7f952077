// Tests a viewer behind a firewall that blocks UDP: the page falls back to LL-HLS by itself.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { watchPage } from "../lib/watch_page.js";

endToEnd("the_watch_page_falls_back_to_ll_hls_when_udp_is_blocked", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "walled");
  const relay = await stage.relay(gateway.rtcPort, { up: { blackhole: true }, down: { blackhole: true } });
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/walled"), { relayPort: relay.port });
  await page.plays("hls", 25_000);
  await page.advances();
  assert.match(await page.badge("transport"), /HLS/i);
  assert.ok(relay.counts.up.lost > 0, "WHEP was tried first");
});

endToEnd("the_watch_page_falls_back_to_ll_hls_when_udp_fails_during_playback", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "cut");
  const relay = await stage.relay(gateway.rtcPort);
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/cut"), { relayPort: relay.port });
  await page.plays("whep");
  relay.up.blackhole = true;
  relay.down.blackhole = true;
  await page.plays("hls", 30_000);
  await page.advances();
});
