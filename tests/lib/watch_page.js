// Opens the gateway's own watch page and adds the functions that tests need. The player publishes its state as data
// attributes of its element (`data-onmic`).

import assert from "node:assert/strict";
import { redirectCandidates } from "./pages/session.js";
import { pause, waitFor } from "./wait.js";

/**
 * Opens the page. With `relayPort`, every SDP answer that it gets, to an offer or an ICE restart, points to that port.
 */
export async function watchPage(browser, url, { relayPort = null, ...options } = {}) {
  const page = await browser.open("about:blank", options);
  if (relayPort !== null) {
    await page.route(/\/(whip|whep|sessions)\//, async (route) => {
      if (!["POST", "PATCH"].includes(route.request().method())) return route.continue();
      const response = await route.fetch();
      await route.fulfill({ response, body: redirectCandidates(await response.text(), relayPort) });
    });
  }
  await page.goto(url);
  const player = () =>
    page.evaluate(() => {
      const element = document.querySelector('[data-onmic="player"]');
      const video = [...(element?.querySelectorAll("video") ?? [])].find((each) => !each.hasAttribute("aria-hidden"));
      return {
        ...element?.dataset,
        currentTime: video?.currentTime ?? 0,
        frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
        width: video?.videoWidth ?? 0,
      };
    });

  page.until = (what, condition, timeoutMs = 15_000) => waitFor(what, condition, { timeoutMs, everyMs: 100 });
  page.player = player;
  page.plays = async (transport, timeoutMs = 15_000) => {
    let last;
    await page
      .until(`the page to play by ${transport}`, async () => {
        last = await player();
        return last.state === "playing" && last.transport === transport && last.width > 0;
      }, timeoutMs)
      .catch((error) => {
        error.message += ` ${JSON.stringify(last)}`;
        throw error;
      });
  };
  /** Asserts that the video plays: at least 15 new frames per second for `seconds`. */
  page.advances = async (seconds = 3) => {
    const before = await player();
    await pause(seconds * 1000);
    const after = await player();
    assert.ok(after.frames - before.frames > seconds * 15, `${JSON.stringify(before)} then ${JSON.stringify(after)}`);
  };
  page.badge = (name) => page.evaluate((name) => document.querySelector(`[data-badge="${name}"]`)?.textContent ?? "", name);
  page.text = () => page.evaluate(() => document.body.innerText);
  page.errors = () => page.messages.filter((message) => message.startsWith("error"));
  return page;
}
