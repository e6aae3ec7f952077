// Headless Chromium for the tests: the system's, with an empty profile.

import { chromium } from 'playwright-core';

/** @param {{ autoplay?: boolean }} [options] `autoplay: false`: sound needs a gesture, as for people.
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
      '--disable-features=WebRtcHideLocalIpsWithMdns', // Else the answer names hosts that only mDNS resolves.
    ].concat(autoplay ? '--autoplay-policy=no-user-gesture-required' : []),
  });
}
