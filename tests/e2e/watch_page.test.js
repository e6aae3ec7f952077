// Tests the pages that people see: /watch/ROOM plays by itself, and / lists the live rooms.

import assert from "node:assert/strict";
import { endToEnd } from "../lib/end_to_end.js";
import { watchPage } from "../lib/watch_page.js";

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

endToEnd("the_watch_page_plays_by_whep_and_shows_transport_and_latency", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show");
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/show"));
  await page.plays("whep");
  await page.advances();
  assert.match(await page.badge("transport"), /WHEP|WebRTC/i);
  await page.until("a latency to be shown", async () => /\d+\s*ms/.test(await page.badge("latency")));
  stage.say(`shown: ${await page.badge("transport")}, ${await page.badge("latency")}`);
  assert.deepEqual(page.errors(), []);
});

endToEnd("the_watch_page_fits_a_phone", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "show");
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/show"), PHONE);
  await page.plays("whep");
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} px of content in a window of ${window} px`);
});

endToEnd("the_watch_page_waits_for_a_room_and_plays_when_it_goes_live", async (stage) => {
  const gateway = await stage.gateway();
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/watch/later"));
  await page.until("the page to say that it waits", async () => /waiting/i.test(await page.text()));
  await stage.live(gateway, "later");
  await page.plays("whep", 20_000);
  await page.advances();
});

endToEnd("the_home_page_lists_live_rooms_and_shows_how_to_publish", async (stage) => {
  const gateway = await stage.gateway();
  await stage.live(gateway, "front-row", { width: 320, height: 180 });
  const browser = await stage.browser();
  const page = await watchPage(browser, gateway.url("/"));
  await page.until("the room to be listed", async () => (await page.text()).includes("front-row"));
  assert.ok((await page.content()).includes(`rtmp://127.0.0.1:${gateway.rtmpPort}/live`), "the page shows the RTMP address");
  await page.click('a[href*="/watch/front-row"]');
  await page.plays("whep");
  assert.deepEqual(page.errors(), []);
});
