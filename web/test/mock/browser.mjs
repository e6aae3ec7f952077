// Starts headless Chromium for the tests: the system's Chromium with an empty profile.

import { chromium } from 'playwright-core';

/** @param {{ autoplay?: boolean }} [options] With `autoplay: false` audio needs a gesture, as for people.
 * @returns {Promise<import('playwright-core').Browser>} */
export function launchBrowser({ autoplay = true } = {}) {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--disable-features=WebRtcHideLocalIpsWithMdns', // Otherwise the answer names hosts that only mDNS resolves.
    ].concat(autoplay ? '--autoplay-policy=no-user-gesture-required' : []),
  });
}
