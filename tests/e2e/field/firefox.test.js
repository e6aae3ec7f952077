// Tests the pages in the real Firefox of Debian: it watches by WebRTC and by LL-HLS, publishes, and goes on mic.
//
// It connects to no loopback address, and has no H.264 by WebRTC.

import assert from "node:assert/strict";
import { endToEnd, firefox } from "../../lib/end_to_end.js";
import { micPage } from "../../lib/mic_page.js";
import { outsideAddress } from "../../lib/ports.js";
import { RoomClient } from "../../lib/room_client.js";
import { waitFor } from "../../lib/wait.js";
import { watchPage } from "../../lib/watch_page.js";

const FRAMES = 10; // A black page shows none. Nothing is asserted of the rate: all of this is drawn and encoded on the CPU.
const PICTURE = { width: 640, height: 360, bitrateKbps: 800 };
const LIMIT = { timeout: 60_000, skip: outsideAddress() === null && "this machine has loopback alone" };

endToEnd(
  "firefox_watches_by_webrtc_and_by_ll_hls",
  async (stage) => {
    const gateway = await stage.gateway();
    await stage.live(gateway, "show", PICTURE);
    const browser = await stage.browser(firefox);
    const page = await watchPage(browser, gateway.url("/watch/show"));
    await page.plays("whep");
    await page.shows(FRAMES);
    assert.equal(await gateway.metric("onmic_derived_tracks", { recipe: "vp8" }), 1);
    const codecs = await page.evaluate(() => RTCRtpReceiver.getCapabilities("video").codecs.map(({ mimeType }) => mimeType));
    const stats = await page.evaluate(() => window.onmicPlayer.stats);
    stage.say(`${await browser.version()} can receive ${[...new Set(codecs)].join(" ")}; it gets ${stats.codec}`);
    await page.evaluate(() => window.onmicPlayer.prefer("hls"));
    await page.plays("hls");
    await page.shows(FRAMES);
    assert.deepEqual(page.errors(), []);
  },
  LIMIT,
);

endToEnd(
  "firefox_publishes_from_the_studio_page",
  async (stage) => {
    const gateway = await stage.gateway();
    const browser = await stage.browser(firefox);
    const studio = await browser.open(gateway.url("/studio/home"));
    await studio.locator(".own-source .primary").click();
    await studio.waitForSelector(".own-source .preview video:not([hidden])");
    await studio.locator(".own-source .primary:not([disabled])").click();
    await studio.waitForSelector(".own-source .chip.live");
    const host = async () => (await gateway.room("home"))?.participants.find(({ video, audio }) => video?.width > 0 && audio);
    const { video, audio } = await waitFor("video and audio of Firefox", host, { timeoutMs: 15_000 });
    stage.say(`published: ${JSON.stringify({ video, audio })}`);
    const page = await watchPage(browser, gateway.url("/watch/home?transport=hls"));
    await page.plays("hls");
    await page.shows(FRAMES);
    assert.deepEqual([...studio.messages, ...page.messages].filter((message) => message.startsWith("error")), []);
  },
  LIMIT,
);

for (const transport of ["hls", "whep"]) {
  endToEnd(
    `firefox_goes_on_mic_from_${transport}_and_back`,
    async (stage) => {
      const gateway = await stage.gateway({ set: { "mixer.canvas": "640x360" } });
      await stage.live(gateway, "show", PICTURE);
      const host = stage.keep(await RoomClient.join(gateway, "show", { role: "host", name: "Mia" }));
      const browser = await stage.browser(firefox);
      const page = await micPage(browser, gateway, "show", { transport });
      await page.raiseHand("Anna");
      const person = await page.person();
      await page.resetMeter();
      const granted = await host.ask({ kind: "grant", person });
      assert.equal(granted.ok, true, JSON.stringify(granted));
      const on = await page.change("on");
      stage.say(`${transport} to mic: ${JSON.stringify(on.own)}, longest time without a frame ${on.longestPictureGapMs} ms`);
      assert.equal((await page.player()).transport, "mic");
      const seat = async () => (await gateway.room("show")).participants.find(({ name }) => name === granted.seat.participant);
      await waitFor("the video of Firefox on mic", async () => (await seat())?.video?.width > 0);
      await page.shows(FRAMES);
      await page.resetMeter();
      await page.click(".micbar .danger");
      const off = await page.change("off");
      stage.say(`mic to ${transport}: ${JSON.stringify(off.own)}, longest time without a frame ${off.longestPictureGapMs} ms`);
      await page.plays(transport);
      await page.shows(FRAMES);
      await waitFor("the seat to be free", async () => !(await seat()));
      assert.deepEqual(page.errors(), []);
    },
    LIMIT,
  );
}
