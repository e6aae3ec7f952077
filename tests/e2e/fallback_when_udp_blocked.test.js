// Tests a viewer whose firewall begins to block UDP: the page falls back to LL-HLS by itself. field/never_black.test.js
// tests one that always does.

import { endToEnd } from "../lib/end_to_end.js";
import { watchPage } from "../lib/watch_page.js";

endToEnd("the_watch_page_falls_back_to_ll_hls_when_udp_fails_during_playback", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "cut");
  const relay = await stage.relay(gateway.rtcPort);
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/cut"), { relay });
  await page.plays("whep");
  relay.up.blackhole = true;
  relay.down.blackhole = true;
  await page.plays("hls", 30_000);
  await page.advances();
});
