// Tests that the watch page never stays before a black picture: whatever keeps WebRTC from showing video, the page plays
// by LL-HLS, tells the gateway why, and returns to WebRTC once it can.

import assert from "node:assert/strict";
import { endToEnd, firefox } from "../../lib/end_to_end.js";
import { outsideAddress } from "../../lib/ports.js";
import { waitFor } from "../../lib/wait.js";
import { watchPage } from "../../lib/watch_page.js";

const isRtp = (packet) => packet[0] >= 128 && packet[0] < 192;
const isRtcp = (packet) => isRtp(packet) && packet[1] >= 192 && packet[1] < 224;
const isVideo = (packet, opus) => isRtp(packet) && !isRtcp(packet) && (packet[1] & 0x7f) !== opus;

/** Returns a function that tells which packets are lost: the last one of each frame, and all repairs. */
function endsOfFrames(opus) {
  let payloadType;
  return (packet) => {
    if (!isVideo(packet, opus)) return false;
    payloadType ??= packet[1] & 0x7f; // The first packet is not a repair.
    return (packet[1] & 0x80) !== 0 || (packet[1] & 0x7f) !== payloadType;
  };
}

// What is lost on the way to the page. `opus` is the payload type of audio.
const REASONS = {
  blocked: () => () => true,
  no_packet: () => isRtp,
  audio_only: (opus) => (packet) => isVideo(packet, opus),
  no_picture: endsOfFrames,
};

// Each browser's offer has its own payload type of Opus.
for (const [name, start, address, opus] of [
  ["chromium", undefined, "127.0.0.1", 111],
  ["firefox", firefox, outsideAddress(), 109],
]) {
  endToEnd(
    `${name}_plays_by_ll_hls_when_webrtc_shows_nothing_and_returns_when_it_does`,
    async (stage) => {
      const gateway = await stage.gateway();
      // The frames are larger than a packet, so that a frame can lack its end.
      await stage.live(gateway, "dark", { width: 320, height: 180, bitrateKbps: 1000 });
      const browser = await stage.browser(start);
      const counted = (reason) => gateway.metric("onmic_whep_given_up_total", { reason });

      // All pages wait at the same time.
      const lossy = async ([reason, loss]) => {
        const relay = await stage.relay(gateway.rtcPort, { down: { loses: loss(opus) }, address });
        const page = await watchPage(browser, gateway.url("/watch/dark"), { relay });
        await page.plays("hls", 30_000);
        // On a busy machine the first attempt may fail because connecting takes too long.
        const given = () => page.evaluate(() => window.onmicPlayer.stats.whepGivenUp);
        await page.until(`WebRTC to be given up: ${reason}`, async () => (await given())[reason] > 0, 40_000);
        await waitFor(`${reason} to be counted`, () => counted(reason));
        return { relay, page };
      };
      const pages = await Promise.all(Object.entries(REASONS).map(lossy));

      const { relay, page } = pages.at(-1);
      await Promise.all(pages.slice(0, -1).map((other) => other.page.close()));
      relay.down.loses = () => false;
      await page.plays("whep", 100_000); // It is tried again after 30 s, or 60 s if one began before, and judged for some seconds.

      const without = await watchPage(browser, gateway.url("/watch/dark"), { lacks: ["H264", "VP8"] });
      await without.plays("hls");
      assert.ok((await counted("no_codec")) > 0);
    },
    { timeout: 180_000, skip: address === null && "this machine has loopback alone" },
  );
}
