// Builds the pages that the gateway embeds and serves: `/` is index.html, `/watch/ROOM` is watch/index.html,
// `/studio/ROOM` is studio/index.html.
// All addresses are relative, because a proxy may show the gateway under any path. `/watch/ROOM` is as deep as
// `/watch/index.html`, and the gateway adapts the pages for other depths.
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // So a page may forbid `data:` in its Content-Security-Policy.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700, // kB. hls.js with alternate audio is large, and only viewers who need it fetch it.
    rolldownOptions: { input: ['index.html', 'watch/index.html', 'studio/index.html'] },
  },
  server: {
    proxy: {
      '/api': { target: 'http://127.0.0.1:8080', ws: true },
      '/whep': 'http://127.0.0.1:8080',
      '/whip': 'http://127.0.0.1:8080',
      '/sessions': 'http://127.0.0.1:8080',
      '/hls': 'http://127.0.0.1:8080',
    },
  },
});
